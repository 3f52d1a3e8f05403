"""Which runs stand for a cell of the paper's Table 1, in what state they are, and their figures over seeds.

Knows the ledger's records and the keys of our configuration and metrics; knows nothing of tables.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sanpose.config import NUISANCE
from sanpose.report.table import Cell
from sweeps.identity import canonical, without
from sweeps.ledger import Record

LETTERS = "abcdefg"
_PRESETS = {"paper": 2, "smoke": 0}  # any other preset lies between
_NEEDED = (
    "model.backbone", "model.width", "model.attention", "data.input_width", "data.input_height", "data.sources",
    "eval.flip_test",
)  # fmt: skip
_REASON = 90  # characters of a failure's reason that fit a table; the whole of it is in the run's folder


@dataclass(frozen=True)
class CellRuns:
    """`runs`: one per seed, of one configuration. `others`: the cell's remaining runs, which are only mentioned."""

    letter: str
    runs: tuple[Record, ...] = ()
    others: tuple[Record, ...] = ()

    @property
    def done(self) -> tuple[Record, ...]:
        return tuple(run for run in self.runs if run.status == "done")

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of the cell's runs; empty when there are none."""
        return self.runs[0].config if self.runs else {}

    @property
    def mark(self) -> str:
        """Why these runs can't be compared with the paper, in words; "" for a full-scale run on real data."""
        reasons = ["synthetic"] if any(run.extra.get("synthetic") for run in self.runs) else []
        reasons += ["small scale"] if preset(self.config) != "paper" else []
        return f"{', '.join(reasons)}: not comparable with the paper's column" if self.runs and reasons else ""

    @property
    def status(self) -> str:
        """ "missing", or the runs' states, with their numbers where they differ."""
        counts = Counter(state(run) for run in self.runs)
        if len(counts) <= 1:
            return next(iter(counts), "missing")
        return ", ".join(f"{count} {text}" for text, count in counts.items())

    def figure(self, *path: str, scale: float = 1.0) -> Cell:
        """Mean and sample standard deviation (None for one seed) of a metric over the seeds that are done.

        path: keys below `metrics`. scale: a factor, as from a share to percent. An empty cell where no run has it.
        """
        found = [lookup(run.metrics, *path) for run in self.done]
        values = [value * scale for value in found if value is not None]
        if not values:
            return Cell(None)
        spread = statistics.stdev(values) if len(values) > 1 else None
        return Cell(statistics.fmean(values), spread, rank=self.mark or "ours", mark=self.mark)


def lookup(metrics: Mapping[str, Any], *path: str) -> float | None:
    """A number in nested mappings, None where there is none."""
    value: Any = metrics
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def protocol_of(run: Record, dataset: str) -> str:
    """How a run's figures of a data set were measured, in one line; "" where the record doesn't say.

    The record's own `protocol` comes first, then the one that the metrics carry.
    """
    figures = run.metrics.get(dataset)
    carried = figures.get("protocol") if isinstance(figures, Mapping) else None
    text = carried.get("text") if isinstance(carried, Mapping) else None
    return str(run.protocol.get(dataset) or text or "")


def missing_key(config: Mapping[str, Any]) -> str | None:
    """The first dotted key that the tables need and a configuration lacks, None when it has them all."""
    for dotted in _NEEDED:
        value: Any = config
        for key in dotted.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is None:
            return dotted
    return None


def letter_of(run: Record) -> str:
    """The cell that a run stands for, "" for none."""
    letter = run.extra.get("cell", run.config.get("cell"))
    return letter if isinstance(letter, str) and letter in tuple(LETTERS) else ""


def preset(config: Mapping[str, Any]) -> str:
    return str(config.get("preset", ""))


def state(run: Record) -> str:
    """A run's state in a few words: "done", "failed: out of memory", "running at epoch 3"."""
    if run.status == "done":
        return "done"
    if run.status == "failed":
        reason = " ".join((run.reason or "no reason recorded").split())
        return f"failed: {reason if len(reason) <= _REASON else reason[: _REASON - 1] + '…'}"
    return f"{run.status} at epoch {run.epoch}" if run.epoch is not None else f"{run.status}, no epoch yet"


def select(records: Sequence[Record], only_preset: str | None = None) -> tuple[CellRuns, ...]:
    """The runs of each cell, a to g, also for cells without any.

    Runs that differ in nothing but the seed (and in what doesn't define a run) make one group. The group shown is one
    with a finished run if there is one, then of the fullest preset (paper, others, smoke), then the newest.
    """
    wanted = [r for r in records if only_preset is None or preset(r.config) == only_preset]
    return tuple(_cell(letter, [r for r in wanted if letter_of(r) == letter]) for letter in LETTERS)


def _cell(letter: str, records: Sequence[Record]) -> CellRuns:
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: r.changed):
        groups.setdefault(_settings(record), []).append(record)
    if not groups:
        return CellRuns(letter)
    best = max(groups.values(), key=lambda g: (any(r.status == "done" for r in g), _rank(g[-1]), g[-1].changed))
    # Sorted by age, so that a seed trained again takes the place of its earlier run.
    seeds = {_seed(record): record for record in best}
    runs = tuple(sorted(seeds.values(), key=_seed))
    return CellRuns(letter, runs, tuple(r for r in records if r not in runs))


def _rank(record: Record) -> int:
    return _PRESETS.get(preset(record.config), 1)


def _seed(record: Record) -> int:
    train = record.config.get("train")
    seed = train.get("seed") if isinstance(train, Mapping) else None
    return int(seed) if isinstance(seed, int) else 0


def _settings(record: Record) -> str:
    settings = without(record.config, {*NUISANCE, "train.seed"} - {"preset"}, missing_ok=True)
    return canonical([settings, record.extra.get("fingerprints"), record.extra.get("synthetic")])
