"""A recorded sweep as a table: one row per point, its objectives over seeds, and what became of its trials."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from sanpose.headline import PATHS
from sanpose.report.runs import listed, lookup, scale_of, seed_of, short, state, summary
from sanpose.report.selection import settings_of
from sanpose.report.table import Cell, Column, Table, text_of
from sweeps.ledger import Broken, Record
from sweeps.record import Sweep, Trial

_TITLES = {"mpjpe_mm": "MPJPE (mm)", "pckh": "PCKh@0.5 (%)", "ap": "AP (0 to 1)", "macs": "MACs (G)"}
_DIGITS = {"mpjpe_mm": 1, "pckh": 1}
_SCALES = {"macs": 1e-9}
_OTHER = "A point whose runs differ in more than the seed has a row for each configuration: they are never averaged."
_SEEDS = (
    "Mean ± sample standard deviation over the seeds that are done. Best in bold, second underlined, whatever the"
    " number of seeds: differences within the spread mean nothing."
)


@dataclass(frozen=True)
class Objective:
    """A figure that a sweep is judged by, and which end of it is best."""

    name: str
    better: Literal["low", "high"]

    @property
    def column(self) -> Column:
        return Column(self.name, _TITLES.get(self.name, self.name), self.better, _DIGITS.get(self.name, 3))

    def of(self, run: Record) -> float | None:
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
    runs: tuple[Record, ...]
    seeds: int
    states: tuple[str, ...]

    @property
    def done(self) -> tuple[Record, ...]:
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


def sweep_table(
    sweep: Sweep, records: Mapping[str, Record], keys: Mapping[str, str], broken: Sequence[Broken]
) -> Table:
    """One sweep's points, in the order of its plan. records: id -> run; keys: id -> what its runs must
    share to be averaged. A trial without a record is a missing one."""
    unreadable = {name for entry in broken for name in (entry.path.name, entry.path.parent.name)}
    points, aims = points_of(sweep, records, unreadable, keys), objectives_of(sweep)
    axes = list(dict.fromkeys(key for point in points for key in point.values))
    columns = (
        *(Column(f"values.{axis}", axis) for axis in axes),
        *(aim.column for aim in aims),
        Column("seeds", "Seeds done"),
        Column("status", "Status"),
        Column("runs", "Runs", machine_only=True),
    )
    rows = tuple(_row(point, aims) for point in points)
    title = str(sweep.head.get("title") or "")
    notes = [_trials(points), *_best(points, aims), _SEEDS]
    notes += [_OTHER] if len({_key(p.values) for p in points}) < len(points) else []
    return Table(slug(sweep.name), f"Sweep {sweep.name}" + (f": {title}" if title else ""), columns, rows, tuple(notes))


def objectives_of(sweep: Sweep) -> tuple[Objective, ...]:
    """What a sweep's record says that it is judged by; MPJPE where it says nothing."""
    told = sweep.head.get("objectives")
    found = [one for one in told if isinstance(one, Mapping) and one.get("name")] if isinstance(told, list) else []
    return tuple(
        Objective(str(one["name"]), "high" if str(one.get("direction", "")).startswith("max") else "low")
        for one in found or [{"name": "mpjpe_mm"}]
    )


def points_of(
    sweep: Sweep,
    records: Mapping[str, Record],
    unreadable: Set[str] = frozenset(),
    keys: Mapping[str, str] | None = None,
) -> list[Point]:
    """The points of a sweep; one whose runs differ in more than the seed is taken apart.

    records: id -> run. unreadable: ids of runs whose record is broken. keys: id -> `settings_of` the run, where known.
    """
    keys = keys if keys is not None else {t.run: settings_of(records[t.run]) for t in sweep.trials if t.run in records}
    planned: dict[str, dict[int, Trial]] = {}
    for trial in sweep.trials:  # a seed tried again takes the place of its earlier trial
        planned.setdefault(_key(trial.values), {})[trial.seed] = trial
    points = []
    for seeds in planned.values():
        first = next(iter(seeds.values()))
        groups: dict[str, list[Record]] = {}
        for trial in seeds.values():
            if trial.run in records:
                groups.setdefault(keys[trial.run], []).append(records[trial.run])
        lost = [t.run for t in seeds.values() if t.run not in records]
        lacking = ["broken record" if run in unreadable else "missing" for run in lost]
        for runs in list(groups.values()) or [[]]:
            states = (*map(state, runs), *lacking)
            points.append(Point(first.label, first.values, tuple(sorted(runs, key=seed_of)), len(seeds), states))
            lacking = []  # they are counted once, with the point's first configuration
    return points


def slug(name: str) -> str:
    """A sweep's name as the name of its table's files, and of a LaTeX label."""
    return "sweep-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


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


def _row(point: Point, aims: Sequence[Objective]) -> dict[str, Cell]:
    return {
        **{f"values.{axis}": Cell(_said(value)) for axis, value in point.values.items()},
        **{aim.name: point.figure(aim, "points") for aim in aims},
        "seeds": Cell(f"{len(point.done)} of {point.seeds}"),
        "status": Cell(summary(point.states)),
        "runs": Cell(" ".join(run.id for run in point.runs) or None),
    }


def _trials(points: Sequence[Point]) -> str:
    """How many trials are in which state, and why those failed that did."""
    states = Counter(text.partition(" ")[0].rstrip(":,") for point in points for text in point.states)
    failed = [run for point in points for run in point.runs if run.status == "failed"]
    reasons = Counter(short(run.reason or "no reason recorded") for run in failed).most_common()
    told = f"Runs: {', '.join(f'{n:,} {text}' for text, n in states.most_common()) or 'none'}."
    return told + (f" Failed: {listed(f'{n} × {reason}' for reason, n in reasons)}." if failed else "")


def _best(points: Sequence[Point], aims: Sequence[Objective]) -> list[str]:
    best = front(points, aims)
    if not best:
        return ["No point has a figure yet."]
    texts = [
        f"{point.label} ({', '.join(text_of(point.figure(a), a.column) + ' ' + a.column.title for a in aims)}"
        f", {len(point.done)} of {point.seeds} seeds)"
        for point in best
    ]
    what = "Best so far" if len(aims) == 1 else "Points that no other one beats in everything"
    return [f"{what}: {listed(texts)}."]


def _key(values: Mapping[str, Any]) -> str:
    return repr(sorted(values.items()))


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
