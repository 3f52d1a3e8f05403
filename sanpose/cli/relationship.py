"""`sanpose relationship`: how alike the network's features are at two joints, for values of delta (Figure 3)."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sanpose.cli.explicit import explicit_options
from sanpose.errors import UserError

if TYPE_CHECKING:
    from sanpose.runs.ledger import RunRecord

_DEFAULT = "0,0.2,0.4,0.6,0.8"


def _deltas(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(math.isfinite(value) for value in values):
        raise UserError(f"'{text}' are not values of delta", where="--deltas", expected=f"numbers, such as {_DEFAULT}")
    return values


@click.command()
@click.option("--run", metavar="ID", help="A run, by a prefix of its id.")
@click.option("--sweep", metavar="NAME", help="Every finished run of a sweep that has attention and no maps yet.")
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Where the runs lie.")
@click.option("--checkpoint", default="last", show_default=True, help="last, best, or a checkpoint's name.")
@click.option(
    "--deltas", callback=_deltas, default=_DEFAULT, show_default=True, metavar="A,B,...", help="Values to set."
)
@click.option("--samples", type=click.IntRange(1), default=256, show_default=True, help="At most so many are used.")
def relationship(
    run: str | None, sweep: str | None, runs: Path, checkpoint: str, deltas: tuple[float, ...], samples: int
) -> None:
    """Measure the joint-relationship maps of the paper's Figure 3, for the report to draw.

    Each value of --deltas is set in the trained network in turn; the run's other checkpoints are measured as they are.
    Writes relationship.npz into the run's folder. With --sweep, runs that have maps are measured again only if one of
    --checkpoint, --deltas and --samples is given.
    """
    from sanpose.inference.relationship import relationship as measure
    from sanpose.runs import joint_maps, lookup

    def one(folder: Path) -> str:
        found = measure(folder, deltas, samples, checkpoint)
        joint_maps.write(folder / joint_maps.NAME, found)
        told = f"{folder / joint_maps.NAME} (values of delta: {len(found.deltas)}, checkpoints: {len(found.along)})"
        return told if sweep else f"{told}\n{found.protocol}"

    if (run is None) == (sweep is None):
        raise UserError("which run is meant?", expected="either --run ID or --sweep NAME")
    if run is not None:
        click.echo(f"Joint relationships: {one(lookup.find(runs, run))}")
        return
    assert sweep is not None
    folders, failed = _of_sweep(runs, sweep, again=bool(explicit_options("checkpoint", "deltas", "samples"))), 0
    for number, folder in enumerate(folders, 1):
        which = f"Joint relationships, {number} of {len(folders)}"
        try:
            click.echo(f"{which}: {one(folder)}")
        except UserError as error:
            failed += 1
            click.echo(f"{which}: {folder} cannot be measured: {error}", err=True)
    if failed:
        raise UserError(f"{failed} of {len(folders)} runs could not be measured", where=f"sweep {sweep}")


def _of_sweep(runs: Path, sweep: str, *, again: bool) -> list[Path]:
    """The folders of a sweep's runs to be measured, in the order of its trials; says how many are not, and why."""
    from sanpose.runs import ledger, lookup

    trials = lookup.sweep(runs, sweep).trials
    found = {run.id: run for run in ledger.read_all(runs, {trial.run for trial in trials})[0]}
    chosen: list[Path] = []
    left: Counter[str] = Counter()
    for id in dict.fromkeys(trial.run for trial in trials):
        reason = _left_out(found.get(id), again)
        if reason:
            left[reason] += 1
        else:
            chosen.append(runs / id)
    if left:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left.items())
        click.echo(f"Joint relationships: {len(chosen)} runs of '{sweep}' to measure; left out: {reasons}")
    return chosen


def _left_out(run: RunRecord | None, again: bool) -> str | None:
    """Why a run is not measured, or None."""
    from sanpose.runs import joint_maps

    if run is None:
        return "without a readable record"
    if run.status != "done":
        return "not finished"
    model = run.config.get("model")
    if not isinstance(model, dict) or model.get("attention") in (None, "none"):
        return "without attention"
    with suppress(UserError):
        if not again and joint_maps.read(run.folder / joint_maps.NAME):
            return "measured already"
    return None
