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
@click.option("--run", required=True, metavar="ID", help="The run, by a prefix of its id.")
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Where the runs lie.")
@click.option("--checkpoint", default="last", show_default=True, help="last, best, or a checkpoint's name.")
@click.option(
    "--deltas", callback=_deltas, default=_DEFAULT, show_default=True, metavar="A,B,...", help="Values to set."
)
@click.option("--samples", type=click.IntRange(1), default=256, show_default=True, help="At most so many are used.")
def relationship(run: str, runs: Path, checkpoint: str, deltas: tuple[float, ...], samples: int) -> None:
    """Measure the joint-relationship maps of the paper's Figure 3, for the report to draw.

    Each value of --deltas is set in the trained network in turn; the run's other checkpoints are measured as they are.
    Writes relationship.npz into the run's folder.
    """
    from sanpose import jointmaps, recording
    from sanpose.relationship import relationship as measure

    folder = recording.find(runs, run)
    found = measure(folder, deltas, samples, checkpoint)
    path = folder / jointmaps.NAME
    jointmaps.write(path, found)
    click.echo(f"{found.protocol}\n{len(found.deltas)} values of delta, {len(found.along)} checkpoints: {path}")
