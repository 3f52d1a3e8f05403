"""The runs of one configuration: in what state they are, and their figures over seeds.

Knows the ledger's records and the keys of our configuration and metrics; knows nothing of tables but their cells.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from sanpose.report.selection.cells import setting
from sanpose.report.table import Cell, Column
from sanpose.runs.ledger import RunRecord

_NEEDED: dict[str, type] = {
    "model.backbone": str, "model.width": float, "model.attention": str, "model.joints": str,
    "model.deconv_channels": int, "model.depth_bins": int, "data.input_width": int, "data.input_height": int,
    "data.sources": dict, "eval.flip_test": bool, "train.seed": int,
}  # fmt: skip
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a mapping"}
_LARGEST = 2**64  # of a configuration's numbers, seeds among them; their products are finite still
_FINITE = 1e100  # figures beyond are none: sums and squares of those below are finite
RUNS = Column("runs", "Runs", machine_only=True)  # the ids of the runs that a row is made of
_REASON = 90  # characters of a failure's reason that fit a table; the whole of it is in the run's folder


@dataclass(frozen=True)
class CellRuns:
    """A cell of Table 1. `runs`: one per seed, of one configuration. `others`: the cell's remaining runs, which are
    only mentioned. `strays`: the settings in which the runs are the cell by their label only, in words; `changes`: the
    settings in which they were trained otherwise than their preset says as shipped."""

    letter: str
    runs: tuple[RunRecord, ...] = ()
    others: tuple[RunRecord, ...] = ()
    strays: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def done(self) -> tuple[RunRecord, ...]:
        return tuple(run for run in self.runs if run.status == "done")

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of the cell's runs; empty when there are none."""
        return self.runs[0].config if self.runs else {}

    @property
    def mark(self) -> str:
        """Why these runs can't be compared with the paper, in words; "" for a full-scale run on real data."""
        reasons = [scale_of(self.runs)] if scale_of(self.runs) else []
        reasons += [f"not the cell as defined ({', '.join(self.strays)})"] if self.strays else []
        changed = self.changes if preset(self.config) == "paper" else ()
        reasons += [f"other settings than the paper's ({listed(changed, 3)})"] if changed else []
        return f"{', '.join(reasons)}: not comparable with the paper's column" if self.runs and reasons else ""

    @property
    def status(self) -> str:
        return summary(state(run) for run in self.runs)

    def figure(self, *path: str, scale: float = 1.0) -> Cell:
        """Mean and sample standard deviation (None for one seed) of a metric over the seeds that are done.

        path: keys below `metrics`. scale: a factor, as from a share to percent. An empty cell where no run has it.
        """
        found = [lookup(run.metrics, *path) for run in self.done]
        values = [value * scale for value in found if value is not None]
        if not values:
            return Cell(None)
        spread = statistics.stdev(values) if len(values) > 1 else None
        rank = f"{preset(self.config)}: {self.mark or 'ours'}"
        return Cell(statistics.fmean(values), spread, rank=rank, mark=self.mark)

    def measured(self, *path: str) -> int:
        """How many seeds that are done have a metric; path: as for `figure`."""
        return sum(lookup(run.metrics, *path) is not None for run in self.done)


def ids(runs: Iterable[RunRecord]) -> Cell:
    """A row's cell of RUNS, empty where there are none."""
    return Cell(" ".join(run.id for run in runs) or None)


def difference(ours: Cell, published: float | None) -> Cell:
    """Ours minus the paper's, empty where either is unknown."""
    if not isinstance(ours.value, float) or published is None:
        return Cell(None)
    return Cell(ours.value - published, mark=ours.mark)


def scale_of(runs: Sequence[RunRecord]) -> str:
    """What keeps runs from being the paper's experiment: "synthetic", "small scale", both, or "" for nothing."""
    reasons = ["synthetic"] if any(run.extra.get("synthetic") for run in runs) else []
    reasons += ["small scale"] if any(preset(run.config) != "paper" for run in runs) else []
    return ", ".join(reasons)


def summary(states: Iterable[str]) -> str:
    """Several runs' states as one text, with their numbers where they differ; "missing" for none."""
    counts = Counter(states)
    if len(counts) <= 1:
        return next(iter(counts), "missing")
    return ", ".join(f"{count} {text}" for text, count in counts.items())


def lookup(metrics: Mapping[str, Any], *path: str) -> float | None:
    """A number in nested mappings, None where there is none, or one that is not finite."""
    value: Any = metrics
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if _number(value) and abs(value) <= _FINITE else None


def protocol_of(run: RunRecord, dataset: str) -> str:
    """How a run's figures of a data set were measured, in one line; "" where the record doesn't say.

    The record's own `protocol` comes first, then the one that the metrics carry.
    """
    figures = run.metrics.get(dataset)
    carried = figures.get("protocol") if isinstance(figures, Mapping) else None
    text = carried.get("text") if isinstance(carried, Mapping) else None
    return str(run.protocol.get(dataset) or text or "")


def unusable(config: Mapping[str, Any]) -> str | None:
    """What the tables need and a configuration lacks, or has in another form; None when it has it all."""
    try:
        json.dumps(config, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        return f"its configuration is not plain data: {error}"
    sources = setting(config, "data.sources")
    shares = [f"data.sources.{name}.share" for name in sources] if isinstance(sources, dict) else []
    wanted = _NEEDED | dict.fromkeys(shares, float)
    found = ((dotted, setting(config, dotted), kind) for dotted, kind in wanted.items())
    return next((_told(dotted, value, kind) for dotted, value, kind in found if not _fits(value, kind)), None)


def _fits(value: object, kind: type) -> bool:
    if kind is float or kind is int:
        return _number(value) and isinstance(value, (int, kind)) and abs(value) <= _LARGEST
    return isinstance(value, kind)


def _told(dotted: str, value: object, kind: type) -> str:
    if value is None:
        return f"its configuration has no '{dotted}'"
    return f"its configuration has {dotted}={short(str(value))}: {_WORDS[kind]} was expected"


def _number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def seed_of(run: RunRecord) -> int:
    seed = setting(run.config, "train.seed", 0)
    return seed if isinstance(seed, int) else 0


def preset(config: Mapping[str, Any]) -> str:
    return str(config.get("preset", ""))


def state(run: RunRecord) -> str:
    """A run's state in a few words: "done", "failed: out of memory", "running at epoch 3 of 4"."""
    if run.status == "done":
        return "done"
    if run.status == "failed":
        return f"failed: {short(run.reason or 'no reason recorded')}"
    said = "stopped (its process is gone)" if run.status == "stopped" else run.status
    if run.epoch is None:
        return f"{said}, no epoch yet"
    epochs = setting(run.config, "train.epochs")
    return f"{said} at epoch {run.epoch}" + (f" of {epochs}" if isinstance(epochs, int) else "")


def short(reason: str) -> str:
    """A reason on one line, cut to what a table has room for."""
    line = " ".join(reason.split())
    return line if len(line) <= _REASON else line[: _REASON - 1] + "…"


def listed(texts: Iterable[str], most: int = 12) -> str:
    """Texts with commas between, the first few of many: "a, b and 998 more"."""
    found = list(texts)
    return ", ".join(found[:most]) + (f" and {len(found) - most:,} more" if len(found) > most else "")
