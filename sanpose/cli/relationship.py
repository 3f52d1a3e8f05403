"""`sanpose relationship`: the similarity of the network's features at two joints, for values of delta (Figure 3)."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sanpose.cli.explicit import explicit_options
from sanpose.cli.options import checkpoint_option, runs_option
from sanpose.errors import UserError
from sanpose.runs.paths import RunPaths

if TYPE_CHECKING:
    from sanpose.runs.ledger import RunRecord

_DEFAULT = "0,0.2,0.4,0.6,0.8"


def _deltas(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(math.isfinite(value) for value in values):
        raise UserError(f"'{text}' is not a list of numbers", where="--deltas", expected=f"values such as {_DEFAULT}")
    return values


@click.command()
@click.option("--run", metavar="ID", help="The run: a prefix of its id.")
@click.option("--sweep", metavar="NAME", help="Every finished run of a sweep that has attention and no maps yet.")
@runs_option
@checkpoint_option
@click.option(
    "--deltas", callback=_deltas, default=_DEFAULT, show_default=True, metavar="A,B,...", help="Values of delta to set."
)
@click.option(
    "--samples", type=click.IntRange(1), default=256, show_default=True, help="The maximum number of samples."
)
def relationship(
    run: str | None, sweep: str | None, runs: Path, checkpoint: str, deltas: tuple[float, ...], samples: int
) -> None:
    """Measure the joint-relationship maps of the paper's Figure 3, which the report draws.

    The command sets each value of --deltas in the trained network in turn, and measures the run's other checkpoints
    unchanged. The command writes relationship.npz into the run's folder. With --sweep, runs that have maps are measured
    again only if you pass --checkpoint, --deltas or --samples.
    """
    from sanpose.inference.relationship import relationship as measure
    from sanpose.runs import joint_maps, lookup

    def measured(folder: Path) -> str:
        maps = measure(folder, deltas, samples, checkpoint)
        path = RunPaths(folder).joint_maps
        joint_maps.write(path, maps)
        text = f"{path} (values of delta: {len(maps.deltas)}, checkpoints: {len(maps.along)})"
        return text if sweep else f"{text}\n{maps.protocol}"

    if (run is None) == (sweep is None):
        raise UserError("no run is named, or a run and a sweep", expected="either --run ID or --sweep NAME")
    if run is not None:
        click.echo(f"Joint relationships: {measured(lookup.find(runs, run))}")
        return
    assert sweep is not None
    folders, failed = _of_sweep(runs, sweep, again=bool(explicit_options("checkpoint", "deltas", "samples"))), 0
    for number, folder in enumerate(folders, 1):
        prefix = f"Joint relationships, {number} of {len(folders)}"
        try:
            click.echo(f"{prefix}: {measured(folder)}")
        except UserError as error:
            failed += 1
            click.echo(f"{prefix}: cannot measure {folder}: {error}", err=True)
    if failed:
        raise UserError(f"{failed} of {len(folders)} runs could not be measured", where=f"sweep {sweep}")


def _of_sweep(runs: Path, sweep: str, *, again: bool) -> list[Path]:
    """The folders of a sweep's runs to measure, in the order of its trials; prints the number of skipped runs, and
    why."""
    from sanpose.runs import ledger, lookup

    trials = lookup.sweep(runs, sweep).trials
    records = {run.id: run for run in ledger.read_all(runs, {trial.run for trial in trials})[0]}
    chosen: list[Path] = []
    skipped: Counter[str] = Counter()
    for id in dict.fromkeys(trial.run for trial in trials):
        reason = _skip_reason(records.get(id), again)
        if reason:
            skipped[reason] += 1
        else:
            chosen.append(runs / id)
    if skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        click.echo(f"Joint relationships: {len(chosen)} runs of '{sweep}' to measure; skipped: {reasons}")
    return chosen


def _skip_reason(run: RunRecord | None, again: bool) -> str | None:
    """Why a run is not measured; None for a run to measure."""
    from sanpose.runs import joint_maps
    from sanpose.runs.facts import setting

    if run is None:
        return "without a readable record"
    if run.status != "done":
        return "not finished"
    if setting(run.config, "model.attention") in (None, "none"):
        return "without attention"
    with suppress(UserError):
        if not again and joint_maps.read(RunPaths(run.folder).joint_maps):
            return "already measured"
    return None
