"""A recorded sweep as points, each with the runs of one configuration; the sweep's objectives, and the best points."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from sanpose.metrics.headline import PATHS
from sanpose.report.selection.runs import scale_of, seed_of, short, state
from sanpose.report.table import Cell, Column
from sanpose.runs.facts import number_at
from sanpose.runs.ledger import RunRecord
from sanpose.status.planned import is_search, to_begin
from sweeps.definition import label
from sweeps.record import MOST_TRIALS, SweepRecord, TrialRecord

_TITLES = {"mpjpe_mm": "MPJPE (mm)", "pckh": "PCKh@0.5 (%)", "ap": "AP (0 to 1)", "macs": "MACs (G)"}
_DIGITS = {"mpjpe_mm": 1, "pckh": 1}
_SCALES = {"macs": 1e-9}


@dataclass(frozen=True)
class Objective:
    """A figure that a sweep optimises, and its better end."""

    name: str
    better: Literal["low", "high"]

    @property
    def column(self) -> Column:
        return Column(self.name, _TITLES.get(self.name, self.name), self.better, _DIGITS.get(self.name, 3))

    def of(self, run: RunRecord) -> float | None:
        """The figure of a run, in the column's unit; None where the run lacks it."""
        if self.name in PATHS:
            number = number_at(run.metrics, *PATHS[self.name])
        elif self.name in run.extra:
            number = number_at(run.extra, self.name)
        else:
            number = number_at(run.metrics, *self.name.split("."))
        return None if number is None else number * _SCALES.get(self.name, 1.0)


@dataclass(frozen=True)
class Point:
    """A sweep's runs of one configuration. `seeds`: how many seeds the sweep plans. `states`: one per seed."""

    label: str
    values: Mapping[str, object]
    runs: tuple[RunRecord, ...]
    seeds: int
    states: tuple[str, ...]

    @property
    def done(self) -> tuple[RunRecord, ...]:
        return tuple(run for run in self.runs if run.status == "done")

    def mean(self, objective: Objective) -> float | None:
        values = self._values(objective)
        return statistics.fmean(values) if values else None

    def _values(self, objective: Objective) -> list[float]:
        return [v for v in map(objective.of, self.done) if v is not None]

    def figure(self, objective: Objective, rank: str = "") -> Cell:
        """Mean and sample standard deviation over the finished seeds; empty where none has the figure."""
        values = self._values(objective)
        if not values:
            return Cell(None)
        return Cell(
            statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, rank, scale_of(self.runs)
        )


def objectives_of(sweep: SweepRecord) -> tuple[Objective, ...]:
    """The objectives in a sweep's record; MPJPE where the record has none."""
    recorded = sweep.head.get("objectives")
    entries = [e for e in recorded if isinstance(e, Mapping) and e.get("name")] if isinstance(recorded, list) else []
    return tuple(
        Objective(str(entry["name"]), "high" if str(entry.get("direction", "")).startswith("max") else "low")
        for entry in entries or [{"name": "mpjpe_mm"}]
    )


def points_of(
    sweep: SweepRecord, records: Mapping[str, RunRecord], keys: Mapping[str, str], unreadable: Set[str]
) -> tuple[Point, ...]:
    """The points of a sweep, in the order of its plan; a point whose runs differ in more than the seed becomes several.

    records: id -> run. keys: id -> `settings_of` the run. unreadable: ids of runs whose record is broken. A trial
    without a record counts as missing, as does a trial that has not started.
    """
    planned: dict[str, dict[int, TrialRecord]] = {}
    for trial in (*sweep.trials, *_to_begin(sweep)):  # a repeated seed replaces its earlier trial
        planned.setdefault(key_of(trial.values), {})[trial.seed] = trial
    points = []
    for seeds in planned.values():
        first = next(iter(seeds.values()))
        name = first.label.removesuffix(f", seed {first.seed}")
        groups: dict[str, list[RunRecord]] = {}
        for trial in seeds.values():
            if trial.run in records:
                groups.setdefault(keys[trial.run], []).append(records[trial.run])
        lacking = [_lacking(trial, unreadable) for trial in seeds.values() if trial.run not in records]
        for runs in list(groups.values()) or [[]]:
            states = (*map(state, runs), *lacking)
            points.append(Point(name, first.values, tuple(sorted(runs, key=seed_of)), len(seeds), states))
            lacking = []  # counted once, with the point's first configuration
    return tuple(points)


def _to_begin(sweep: SweepRecord) -> list[TrialRecord]:
    """The points and seeds without a trial: all of a grid's, and a search's missing seeds of the drawn points."""
    if not is_search(sweep.head):
        return [TrialRecord(-1, t.label, dict(t.values), t.seed, "") for t in to_begin(sweep.head, sweep.trials)]
    seeds, first = sweep.head.get("seeds"), sweep.head.get("first_seed", 0)
    started = {(key_of(t.values), t.seed) for t in sweep.trials}
    drawn = {key_of(t.values): t.values for t in sweep.trials}
    planned = range(first, first + (seeds if isinstance(seeds, int) and seeds * len(drawn) <= MOST_TRIALS else 0))
    missing = [(values, seed) for key, values in drawn.items() for seed in planned if (key, seed) not in started]
    return [TrialRecord(-1, label(values), values, seed, "") for values, seed in missing]


def _lacking(trial: TrialRecord, unreadable: Set[str]) -> str:
    """The state of a trial without a readable record."""
    if trial.run in unreadable:
        return "broken record"
    return f"failed: {short(trial.reason)}" if trial.reason else "missing"


def best_first(points: Sequence[Point], aim: Objective) -> list[Point]:
    """The points in order of an objective, points without the figure last."""
    sign = 1 if aim.better == "low" else -1
    means = [(point.mean(aim), point) for point in points]
    return [p for _, p in sorted(means, key=lambda pair: (pair[0] is None, sign * (pair[0] or 0.0)))]


def front(points: Sequence[Point], aims: Sequence[Objective]) -> list[Point]:
    """The Pareto front: the points with every figure for which no other point is better in one objective and at least
    as good in the others."""
    complete = []
    for point in points:
        means = [point.mean(aim) for aim in aims]
        numbers = [v if a.better == "low" else -v for v, a in zip(means, aims, strict=True) if v is not None]
        if len(numbers) == len(aims):
            complete.append((numbers, point))
    best: list[tuple[list[float], Point]] = []
    for numbers, point in sorted(complete, key=lambda pair: pair[0]):  # a better point comes first
        if not any(n != numbers and all(x <= y for x, y in zip(n, numbers, strict=True)) for n, _ in best):
            best.append((numbers, point))
    return [point for _, point in best]


def key_of(values: Mapping[str, object]) -> str:
    """Equal for equal points."""
    return repr(sorted(values.items()))
