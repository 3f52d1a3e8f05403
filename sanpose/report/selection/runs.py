"""The runs of one configuration: their states, and their figures over seeds.

Knows the ledger's records and the keys of our configuration and metrics; of tables it knows only the cells.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sanpose.metrics.headline import MPJPE
from sanpose.report.table import Cell, Column
from sanpose.runs import facts
from sanpose.runs.facts import is_number, number_at, preset, setting
from sanpose.runs.ledger import RunRecord

_NEEDED: dict[str, type] = {
    "model.backbone": str, "model.width": float, "model.attention": str, "model.joints": str,
    "model.deconv_channels": int, "model.depth_bins": int, "data.input_width": int, "data.input_height": int,
    "data.sources": dict, "eval.flip_test": bool, "train.seed": int,
}  # fmt: skip
_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a mapping"}
_LARGEST = 2**64  # of a configuration's numbers, seeds among them; products of such numbers are finite
RUNS = Column("runs", "Runs", machine_only=True)  # the ids of a row's runs
_REASON = 90  # characters of a failure's reason that fit a table; the run's record has the whole reason


@dataclass(frozen=True)
class CellRuns:
    """A cell of Table 1. `runs`: one per seed, of one configuration. `others`: the cell's remaining runs, which the
    notes mention. `mismatches`: the settings that differ from the cell's definition, for runs that have its label only;
    `changes`: the training settings that differ from the shipped preset; both in words."""

    letter: str
    runs: tuple[RunRecord, ...] = ()
    others: tuple[RunRecord, ...] = ()
    mismatches: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def done(self) -> tuple[RunRecord, ...]:
        return tuple(run for run in self.runs if run.status == "done")

    @property
    def config(self) -> Mapping[str, object]:
        """The configuration of the cell's runs; empty without runs."""
        return self.runs[0].config if self.runs else {}

    @property
    def preset(self) -> str:
        """The preset of the cell's runs, "" for none."""
        return preset(self.config)

    @property
    def mark(self) -> str:
        """Why these runs cannot be compared with the paper, in words; "" for full-scale runs on real data."""
        reasons = [scale_of(self.runs)] if scale_of(self.runs) else []
        reasons += [f"not the cell as defined ({', '.join(self.mismatches)})"] if self.mismatches else []
        changed = self.changes if self.preset == "paper" else ()
        reasons += [f"other settings than the paper's ({listed(changed, 3)})"] if changed else []
        return f"{', '.join(reasons)}: not comparable with the paper's column" if self.runs and reasons else ""

    @property
    def status(self) -> str:
        return summary(state(run) for run in self.runs)

    def figure(self, *path: str, scale: float = 1.0) -> Cell:
        """Mean and sample standard deviation (None for one seed) of a metric over the finished seeds.

        path: keys below `metrics`. scale: a factor, as from a share to percent. An empty cell where no run has the
        metric.
        """
        numbers = [number_at(run.metrics, *path) for run in self.done]
        values = [number * scale for number in numbers if number is not None]
        if not values:
            return Cell(None)
        spread = statistics.stdev(values) if len(values) > 1 else None
        rank = f"{self.preset}: {self.mark or 'ours'}"
        return Cell(statistics.fmean(values), spread, rank=rank, mark=self.mark)

    @property
    def mpjpe(self) -> Cell:
        """MPJPE in mm over all test frames, as `figure`."""
        return self.figure(*MPJPE)

    def measured(self, *path: str) -> int:
        """How many finished seeds have a metric; path: as for `figure`."""
        return sum(number_at(run.metrics, *path) is not None for run in self.done)


def ids(runs: Iterable[RunRecord]) -> Cell:
    """A row's cell of RUNS, empty without runs."""
    return Cell(" ".join(run.id for run in runs) or None)


def difference(ours: Cell, published: float | None) -> Cell:
    """Ours minus the paper's, empty where either is unknown."""
    if not isinstance(ours.value, float) or published is None:
        return Cell(None)
    return Cell(ours.value - published, mark=ours.mark)


def scale_of(runs: Sequence[RunRecord]) -> str:
    """Why runs are not the paper's experiment: "synthetic", "small scale", both, or "" where they are."""
    reasons = ["synthetic"] if any(map(facts.is_synthetic, runs)) else []
    reasons += ["small scale"] if any(preset(run.config) != "paper" for run in runs) else []
    return ", ".join(reasons)


def summary(states: Iterable[str]) -> str:
    """The states of several runs as one text, with numbers where they differ; "missing" without runs."""
    counts = Counter(states)
    if len(counts) <= 1:
        return next(iter(counts), "missing")
    return ", ".join(f"{count} {text}" for text, count in counts.items())


def protocol_of(run: RunRecord, dataset: str) -> str:
    """How a run's figures of a data set were measured, in one line; "" where the record does not say.

    The record's own `protocol` comes before the protocol among the metrics.
    """
    return str(run.protocol.get(dataset) or setting(run.metrics, f"{dataset}.protocol.text") or "")


def unusable(config: Mapping[str, object]) -> str | None:
    """The setting that the tables need and a configuration lacks, or has in another form; None for a usable one."""
    try:
        json.dumps(config, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        return f"its configuration is not plain data: {error}"
    sources = setting(config, "data.sources")
    shares = [f"data.sources.{name}.share" for name in sources] if isinstance(sources, dict) else []
    needed = _NEEDED | dict.fromkeys(shares, float)
    values = ((dotted, setting(config, dotted), kind) for dotted, kind in needed.items())
    return next((_wrong(dotted, value, kind) for dotted, value, kind in values if not _fits(value, kind)), None)


def _fits(value: object, kind: type) -> bool:
    if kind is float or kind is int:
        return is_number(value) and isinstance(value, (int, kind)) and abs(value) <= _LARGEST
    return isinstance(value, kind)


def _wrong(dotted: str, value: object, kind: type) -> str:
    if value is None:
        return f"its configuration has no '{dotted}'"
    return f"its configuration has {dotted}={short(str(value))}: {_KINDS[kind]} was expected"


def seed_of(run: RunRecord) -> int:
    return facts.seed(run) or 0


def state(run: RunRecord) -> str:
    """A run's state in a few words: "done", "failed: out of memory", "running at epoch 3 of 4"."""
    if run.status == "done":
        return "done"
    if run.status == "failed":
        return f"failed: {short(run.reason or 'no reason recorded')}"
    status = "stopped (its process is gone)" if run.status == "stopped" else run.status
    if run.epoch is None:
        return f"{status}, no epoch yet"
    epochs = facts.epochs(run)
    return f"{status} at epoch {run.epoch}" + (f" of {epochs}" if epochs is not None else "")


def short(reason: str) -> str:
    """A reason on one line, cut to the length that fits a table."""
    line = " ".join(reason.split())
    return line if len(line) <= _REASON else line[: _REASON - 1] + "…"


def listed(texts: Iterable[str], most: int = 12) -> str:
    """Texts with commas between, the first few of many: "a, b and 998 more"."""
    every = list(texts)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")
