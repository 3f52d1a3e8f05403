"""Runs as lines over epochs, and several seeds' lines as one with a band. Reads journals; draws nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sanpose.errors import UserError
from sanpose.report.selection.runs import lookup
from sanpose.runs.journal import NAME
from sanpose.runs.ledger import RunRecord
from sweeps.files import BrokenRecord, read_lines

Line = dict[int, float]  # epoch -> value
MPJPE = ("h36m", "mpjpe", "mean_over_frames")
_WITHIN = b'{"kind": "train"'  # how a line of progress within an epoch begins: nine of ten lines, and none of a curve


@dataclass(frozen=True)
class CurveGroup:
    """Runs that differ only by their seed: a cell of Table 1, or a point of a sweep."""

    label: str
    runs: tuple[RunRecord, ...]


@dataclass(frozen=True)
class TrainingCurves:
    """One run's lines by epoch: mean loss (no unit), delta, MPJPE in mm on the evaluation's samples and, at the end,
    on all of them."""

    loss: Line
    delta: Line
    mpjpe: Line
    final: Line


@dataclass(frozen=True)
class Band:
    """Means over the seeds that have a value at an epoch, and the sample deviation, 0 where there is one seed."""

    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    seeds: int


def curves(run: RunRecord) -> TrainingCurves:
    """What a run's journal says; empty for a run without one. Raises UserError for a journal that can't be read."""
    path = run.folder / NAME
    try:
        lines = read_lines(path, _WITHIN) if path.is_file() else []
    except (BrokenRecord, OSError) as error:
        raise UserError(f"a run's journal cannot be read: {error}", where=path) from error
    found = TrainingCurves({}, {}, {}, {})
    for line in lines:
        epoch, kind = line.get("epoch"), line.get("kind")
        if not isinstance(epoch, int):
            continue
        if kind == "epoch":
            _put(found.loss, epoch, lookup(line, "loss"))
            _put(found.delta, epoch, lookup(line, "delta"))
        elif kind in ("evaluation", "final"):
            _put(found.final if kind == "final" else found.mpjpe, epoch, lookup(line, "figures", *MPJPE))
    return found


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
