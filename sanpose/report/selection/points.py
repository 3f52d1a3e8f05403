"""A recorded sweep as points: the runs of one configuration each, by what they are judged, and which are the best."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from sanpose.metrics.headline import PATHS
from sanpose.report.selection.runs import lookup, scale_of, seed_of, short, state
from sanpose.report.table import Cell, Column
from sanpose.runs.ledger import RunRecord
from sanpose.status.planned import to_begin
from sweeps.definition import label
from sweeps.record import MOST_TRIALS, SweepRecord, TrialRecord

_TITLES = {"mpjpe_mm": "MPJPE (mm)", "pckh": "PCKh@0.5 (%)", "ap": "AP (0 to 1)", "macs": "MACs (G)"}
_DIGITS = {"mpjpe_mm": 1, "pckh": 1}
_SCALES = {"macs": 1e-9}


@dataclass(frozen=True)
class Objective:
    """A figure that a sweep is judged by, and which end of it is best."""

    name: str
    better: Literal["low", "high"]

    @property
    def column(self) -> Column:
        return Column(self.name, _TITLES.get(self.name, self.name), self.better, _DIGITS.get(self.name, 3))

    def of(self, run: RunRecord) -> float | None:
        """The figure of a run, in the column's unit; None where the run lacks it."""
        if self.name in PATHS:
            found = lookup(run.metrics, *PATHS[self.name])
        elif self.name in run.extra:
            found = lookup(run.extra, self.name)
        else:
            found = lookup(run.metrics, *self.name.split("."))
        return None if found is None else found * _SCALES.get(self.name, 1.0)


@dataclass(frozen=True)
class Point:
    """Runs of one configuration among a sweep's. `seeds`: how many the sweep wants of it. `states`: one per seed."""

    label: str
    values: Mapping[str, Any]
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
        """Mean and sample standard deviation over the seeds that are done; empty where none has the figure."""
        values = self._values(objective)
        if not values:
            return Cell(None)
        return Cell(
            statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, rank, scale_of(self.runs)
        )


def objectives_of(sweep: SweepRecord) -> tuple[Objective, ...]:
    """What a sweep's record says that it is judged by; MPJPE where it says nothing."""
    told = sweep.head.get("objectives")
    found = [one for one in told if isinstance(one, Mapping) and one.get("name")] if isinstance(told, list) else []
    return tuple(
        Objective(str(one["name"]), "high" if str(one.get("direction", "")).startswith("max") else "low")
        for one in found or [{"name": "mpjpe_mm"}]
    )


def points_of(
    sweep: SweepRecord, records: Mapping[str, RunRecord], keys: Mapping[str, str], unreadable: Set[str]
) -> tuple[Point, ...]:
    """The points of a sweep, in the order of its plan; one whose runs differ in more than the seed is taken apart.

    records: id -> run. keys: id -> what its runs must share to be averaged. unreadable: ids of runs whose record is
    broken. A trial without a record is a missing one, and so is one that has not begun.
    """
    planned: dict[str, dict[int, TrialRecord]] = {}
    for trial in (*sweep.trials, *_to_begin(sweep)):  # a seed tried again takes the place of its earlier trial
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
            lacking = []  # they are counted once, with the point's first configuration
    return tuple(points)


def _to_begin(sweep: SweepRecord) -> list[TrialRecord]:
    """The points and seeds that have no trial yet: of a grid all, of a search the other seeds of the points drawn."""
    if sweep.head.get("search") is None:
        waiting = [(t.label, t.values, t.seed) for t in to_begin(sweep.head, sweep.trials)]
    else:
        seeds = sweep.head.get("seeds")
        begun = {(key_of(t.values), t.seed) for t in sweep.trials}
        drawn = {key_of(t.values): t.values for t in sweep.trials}
        wanted = range(seeds if isinstance(seeds, int) and seeds * len(drawn) <= MOST_TRIALS else 0)
        waiting = [(label(v), v, s) for k, v in drawn.items() for s in wanted if (k, s) not in begun]
    return [TrialRecord(-1, text, values, seed, "") for text, values, seed in waiting]


def _lacking(trial: TrialRecord, unreadable: Set[str]) -> str:
    """What became of a trial that has no record that can be read."""
    if trial.run in unreadable:
        return "broken record"
    return f"failed: {short(trial.reason)}" if trial.reason else "missing"


def best_first(points: Sequence[Point], aim: Objective) -> list[Point]:
    """The points in order of an objective, those without its figure last."""
    sign = 1 if aim.better == "low" else -1
    means = [(point.mean(aim), point) for point in points]
    return [p for _, p in sorted(means, key=lambda pair: (pair[0] is None, sign * (pair[0] or 0.0)))]


def front(points: Sequence[Point], aims: Sequence[Objective]) -> list[Point]:
    """The points that no other one beats in one objective without losing in another; those with every figure."""
    found = []
    for point in points:
        means = [point.mean(aim) for aim in aims]
        numbers = [v if a.better == "low" else -v for v, a in zip(means, aims, strict=True) if v is not None]
        if len(numbers) == len(aims):
            found.append((numbers, point))
    best: list[tuple[list[float], Point]] = []
    for numbers, point in sorted(found, key=lambda f: f[0]):  # what beats a point comes before it
        if not any(n != numbers and all(x <= y for x, y in zip(n, numbers, strict=True)) for n, _ in best):
            best.append((numbers, point))
    return [point for _, point in best]


def key_of(values: Mapping[str, Any]) -> str:
    return repr(sorted(values.items()))
