"""Every point of a grid against the sweep's first one: paired over seeds, and whether the difference is decided.

The paper claims nothing of a sweep; so a verdict is better, worse or undecided, and nothing is confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence

from sanpose.report.selection.groups import same_data
from sanpose.report.selection.points import Objective, Point, objectives_of
from sanpose.report.selection.runs import RUNS, ids, scale_of, seed_of, summary
from sanpose.report.table import Cell, Column, Table
from sanpose.report.tables.paired import Paired, paired
from sanpose.report.tables.sweep_tables import slug
from sanpose.report.tables.verdicts import NUMBERS, TESTED, UNDECIDED, tested, undecided
from sanpose.runs.ledger import RunRecord
from sweeps.record import SweepRecord

_VERDICT = (
    "Verdict: better or worse by a two-sided paired t-test over seeds at 5 %, one test per row, without correction for"
    " the number of rows: of twenty points that differ in nothing, one is expected to look better or worse. The paper"
    " claims nothing here."
)


def compared_table(sweep: SweepRecord, points: Sequence[Point]) -> Table | None:
    """A sweep's points (`points_of`) against the first, by its first objective. None for a search, which looks for a
    best point and has no first, and where there is only one point."""
    if sweep.head.get("search") is not None or len(points) < 2:
        return None
    aim, (first, *others) = objectives_of(sweep)[0], points
    columns = (
        Column("point", "Point"),
        Column("difference", f"Diff. of {aim.column.title}", digits=_digits(aim), signed=True),
        Column("seeds", "Seeds", digits=0),
        *TESTED,
        Column("verdict", "Verdict"),
        Column("status", "Status"),
        *NUMBERS,
        RUNS,
    )
    helps = "below" if aim.better == "low" else "above"
    what = (
        f"Each point's {aim.column.title} minus that of the first, {first.label} (its runs: {summary(first.states)}):"
        f" {helps} 0 the point is better. Mean ± sample standard deviation of the differences between runs of the same"
        " seed, on the same files of every source that both use."
    )
    title = f"Sweep {sweep.name}, tested: each point against {first.label}"
    rows = tuple(_row(first, point, aim) for point in others)
    return Table(slug(sweep.name, "compared"), title, columns, rows, (what, _VERDICT, UNDECIDED))


def _row(first: Point, point: Point, aim: Objective) -> dict[str, Cell]:
    pairs = _pairs(first, point, aim)
    runs = [run for a, b, _ in pairs for run in (a, b)]
    found = paired([value for _, _, value in pairs], resampled=False) if pairs else None
    scale = scale_of(runs)
    mark = f"{scale}: a verdict on these runs, not on the paper's experiment" if scale else ""
    row = {
        "point": Cell(point.label),
        "seeds": Cell(len(pairs)),
        "verdict": Cell(_verdict(found, aim), mark=mark),
        "status": Cell(summary(point.states)),
        RUNS.key: ids(runs),
    }
    if found is None:
        return row
    return row | {"difference": Cell(found.mean, found.deviation or None, mark=mark)} | tested(found, _digits(aim))


def _pairs(first: Point, point: Point, aim: Objective) -> list[tuple[RunRecord, RunRecord, float]]:
    """The two runs and their difference, of every seed that is done and measured in both points."""
    before = {seed_of(run): run for run in first.done}
    both = ((before[seed_of(run)], run) for run in point.done if seed_of(run) in before)
    found = [(a, b, aim.of(a), aim.of(b)) for a, b in both if same_data(a, b)]
    return [(a, b, y - x) for a, b, x, y in found if x is not None and y is not None]


def _verdict(found: Paired | None, aim: Objective) -> str:
    """ "better", "worse", or "undecided" with the seeds that are lacking."""
    if found is None or not found.decided:
        return undecided(found, "both points")
    return "better" if (found.mean < 0) == (aim.better == "low") else "worse"


def _digits(aim: Objective) -> int:
    return aim.column.digits + 1
