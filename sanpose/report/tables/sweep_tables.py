"""A recorded sweep as a table: one row per point, with its objectives over seeds and the states of its trials."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from sanpose.report.selection.points import Objective, Point, front, key_of, objectives_of
from sanpose.report.selection.runs import RUNS, ids, listed, summary
from sanpose.report.table import Cell, Column, Table, text_of
from sweeps.record import SweepRecord

_OTHER = (
    "A point whose runs differ in more than the seed has a row for each configuration: such runs are never averaged."
)
_SEEDS = (
    "Mean ± sample standard deviation over the finished seeds. The best value is bold and the second is underlined,"
    " whatever the number of seeds: differences within the spread are not meaningful."
)


def sweep_table(sweep: SweepRecord, points: Sequence[Point]) -> Table:
    """One sweep's points (`points_of`), in the order of its plan."""
    aims = objectives_of(sweep)
    axes = list(dict.fromkeys(key for point in points for key in point.values))
    columns = (
        *(Column(f"values.{axis}", axis) for axis in axes),
        *(aim.column for aim in aims),
        Column("seeds", "Seeds done"),
        Column("status", "Status"),
        RUNS,
    )
    rows = tuple(_row(point, aims) for point in points)
    title = str(sweep.head.get("title") or "")
    notes = [_trials(points), *_best(points, aims), _SEEDS]
    notes += [_OTHER] if len({key_of(p.values) for p in points}) < len(points) else []
    return Table(slug(sweep.name), f"Sweep {sweep.name}" + (f": {title}" if title else ""), columns, rows, tuple(notes))


def slug(name: str, kind: str = "sweep") -> str:
    """The name of a sweep's table of some kind, for file names and LaTeX labels."""
    return f"{kind}-" + re.sub(r"[^A-Za-z0-9._-]", "-", name)


def _row(point: Point, aims: Sequence[Objective]) -> dict[str, Cell]:
    return {
        **{f"values.{axis}": Cell(_text(value)) for axis, value in point.values.items()},
        **{aim.name: point.figure(aim, "points") for aim in aims},
        "seeds": Cell(f"{len(point.done)} of {point.seeds}"),
        "status": Cell(summary(point.states)),
        RUNS.key: ids(point.runs),
    }


def _trials(points: Sequence[Point]) -> str:
    """The number of trials in each state, and the reasons of failures."""
    states = Counter(text.partition(" ")[0].rstrip(":,") for point in points for text in point.states)
    failed = [text for point in points for text in point.states if text.startswith("failed: ")]
    reasons = Counter(text.removeprefix("failed: ") for text in failed).most_common()
    counts = f"Runs: {', '.join(f'{n:,} {text}' for text, n in states.most_common()) or 'none'}."
    return counts + (f" Failed: {listed(f'{n} × {reason}' for reason, n in reasons)}." if failed else "")


def _best(points: Sequence[Point], aims: Sequence[Objective]) -> list[str]:
    best = front(points, aims)
    if not best:
        return ["No point has a figure yet."]
    texts = [
        f"{point.label} ({', '.join(text_of(point.figure(a), a.column) + ' ' + a.column.title for a in aims)}"
        f", {len(point.done)} of {point.seeds} seeds)"
        for point in best
    ]
    title = (
        "Best so far"
        if len(aims) == 1
        else "Pareto front (no other point is better in one objective and at least as good in the others)"
    )
    return [f"{title}: {listed(texts)}."]


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
