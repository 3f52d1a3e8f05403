"""`sanpose relationship`: how alike the network's features are at two joints, for values of delta (Figure 3)."""

from __future__ import annotations

import math
from pathlib import Path

import click

from sanpose.errors import UserError

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
    Writes relationship.npz into the run's folder.
    """
    from sanpose import jointmaps, recording
    from sanpose.relationship import relationship as measure

    if (run is None) == (sweep is None):
        raise UserError("which run is meant?", expected="either --run ID or --sweep NAME")
    folders = [recording.find(runs, run)] if run is not None else _unmeasured(runs, str(sweep))
    if not folders:
        click.echo(f"Joint relationships: every finished run of '{sweep}' that has attention has its maps already.")
    for number, folder in enumerate(folders, 1):
        found = measure(folder, deltas, samples, checkpoint)
        path = folder / jointmaps.NAME
        jointmaps.write(path, found)
        if run is not None:
            click.echo(found.protocol)
        measured = f"values of delta: {len(found.deltas)}, checkpoints: {len(found.along)}"
        click.echo(f"Joint relationships, {number} of {len(folders)}: {path} ({measured})")


def _unmeasured(runs: Path, sweep: str) -> list[Path]:
    """The folders of a sweep's runs that are done, have attention, and no maps; in the order of its trials."""
    from sanpose import jointmaps, recording, trained
    from sweeps import ledger

    trials = recording.sweep(runs, sweep).trials
    found = {run.id: run for run in ledger.read_all(runs, {trial.run for trial in trials})[0]}
    known = [found[id] for id in dict.fromkeys(trial.run for trial in trials) if id in found]
    ended = [run.folder for run in known if run.status == "done" and not (run.folder / jointmaps.NAME).is_file()]
    return [folder for folder in ended if trained.recorded_config(folder).model.attention != "none"]
