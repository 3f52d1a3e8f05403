"""Every point of a grid compared with the sweep's first point: paired over seeds, with a verdict.

The paper makes no claim about a sweep, so a verdict is better, worse or undecided; nothing is confirmed.
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
from sanpose.status.planned import is_search
from sweeps.record import SweepRecord

_VERDICT = (
    "Verdict: better or worse by a two-sided paired t-test over seeds at 5 %, one test per row, without correction for"
    " the number of rows: among twenty points without any true difference, one is expected to look better or worse. The"
    " paper makes no claim here."
)


def compared_table(sweep: SweepRecord, points: Sequence[Point]) -> Table | None:
    """A sweep's points (`points_of`) compared with the first point, by the first objective. None for a search, which
    has no reference point, and for a single point."""
    if is_search(sweep.head) or len(points) < 2:
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
        f"Each point's {aim.column.title} minus {aim.column.title} of the first point, {first.label} (its runs:"
        f" {summary(first.states)}): the point is better where the difference is {helps} 0. Mean ± sample standard"
        " deviation of the differences between runs of the same seed, on the same files of every source that both use."
    )
    title = f"Sweep {sweep.name}, tested: each point compared with {first.label}"
    rows = tuple(_row(first, point, aim) for point in others)
    return Table(slug(sweep.name, "compared"), title, columns, rows, (what, _VERDICT, UNDECIDED))


def _row(first: Point, point: Point, aim: Objective) -> dict[str, Cell]:
    pairs = _pairs(first, point, aim)
    runs = [run for a, b, _ in pairs for run in (a, b)]
    difference = paired([value for _, _, value in pairs], resampled=False) if pairs else None
    scale = scale_of(runs)
    mark = f"{scale}: a verdict on these runs, not on the paper's experiment" if scale else ""
    row = {
        "point": Cell(point.label),
        "seeds": Cell(len(pairs)),
        "verdict": Cell(_verdict(difference, aim), mark=mark),
        "status": Cell(summary(point.states)),
        RUNS.key: ids(runs),
    }
    if difference is None:
        return row
    ours = Cell(difference.mean, difference.deviation or None, mark=mark)
    return row | {"difference": ours} | tested(difference, _digits(aim))


def _pairs(first: Point, point: Point, aim: Objective) -> list[tuple[RunRecord, RunRecord, float]]:
    """The two runs and their difference, for every seed finished and measured in both points."""
    before = {seed_of(run): run for run in first.done}
    both = ((before[seed_of(run)], run) for run in point.done if seed_of(run) in before)
    figures = [(a, b, aim.of(a), aim.of(b)) for a, b in both if same_data(a, b)]
    return [(a, b, y - x) for a, b, x, y in figures if x is not None and y is not None]


def _verdict(difference: Paired | None, aim: Objective) -> str:
    """ "better", "worse", or "undecided" with the missing seeds."""
    if difference is None or not difference.decided:
        return undecided(difference, "both points")
    return "better" if (difference.mean < 0) == (aim.better == "low") else "worse"


def _digits(aim: Objective) -> int:
    return aim.column.digits + 1
