"""Runs as lines over epochs, and the lines of several seeds as a band. Reads journals; draws nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sanpose.errors import UserError
from sanpose.metrics.headline import MPJPE
from sanpose.runs.facts import number_at
from sanpose.runs.ledger import RunRecord
from sanpose.runs.paths import RunPaths
from sweeps.files import BrokenRecord, read_lines

Line = dict[int, float]  # epoch -> value
# Nine lines in ten begin so: they are written within an epoch, and no curve needs them.
_WITHIN = b'{"kind": "train"'


@dataclass(frozen=True)
class CurveGroup:
    """Runs that differ only by their seed: a cell of Table 1, or a point of a sweep."""

    label: str
    runs: tuple[RunRecord, ...]


@dataclass(frozen=True)
class TrainingCurves:
    """One run's lines by epoch: mean loss (no unit), delta, MPJPE in mm on the samples of the evaluations, and `final`,
    at the end, on all test frames."""

    loss: Line
    delta: Line
    mpjpe: Line
    final: Line


@dataclass(frozen=True)
class Band:
    """Mean and sample standard deviation over the seeds that have a value at an epoch; the deviation of one seed is 0.
    `count`: the number of seeds."""

    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    count: int


def curves(run: RunRecord) -> TrainingCurves:
    """The curves in a run's journal; empty without a journal. Raises UserError for an unreadable journal."""
    path = RunPaths(run.folder).journal
    try:
        lines = read_lines(path, _WITHIN) if path.is_file() else []
    except (BrokenRecord, OSError) as error:
        raise UserError(f"a run's journal cannot be read: {error}", where=path) from error
    curve = TrainingCurves({}, {}, {}, {})
    for line in lines:
        epoch, kind = line.get("epoch"), line.get("kind")
        if not isinstance(epoch, int):
            continue
        if kind == "epoch":
            _put(curve.loss, epoch, number_at(line, "loss"))
            _put(curve.delta, epoch, number_at(line, "delta"))
        elif kind in ("evaluation", "final"):
            _put(curve.final if kind == "final" else curve.mpjpe, epoch, number_at(line, "figures", *MPJPE))
    return curve


def band(lines: Sequence[Line]) -> Band:
    epochs = sorted(set().union(*lines)) if lines else []
    values = [[line[epoch] for line in lines if epoch in line] for epoch in epochs]
    return Band(
        tuple(epochs),
        tuple(statistics.fmean(v) for v in values),
        tuple(statistics.stdev(v) if len(v) > 1 else 0.0 for v in values),
        sum(1 for line in lines if line),
    )


def _put(line: Line, epoch: int, value: float | None) -> None:
    if value is not None:
        line[epoch] = value
