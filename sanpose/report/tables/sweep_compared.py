"""Every point of a grid compared with the sweep's first point: paired over seeds, with a verdict.

The paper makes no claim about a sweep, so a verdict is better, worse or undecided; nothing is confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sanpose.claims.auto import AutoSeeds
from sanpose.report.selection.groups import same_data
from sanpose.report.selection.points import Objective, Point, objectives_of
from sanpose.report.selection.runs import RUNS, ids, scale_of, seed_of, summary
from sanpose.report.table import Cell, Column, Table
from sanpose.report.tables.looked import LOOKED_NOTE, Looked, looked_cells, looked_test, with_looked
from sanpose.report.tables.sweep_tables import slug
from sanpose.report.tables.verdicts import NUMBERS, TESTED, UNDECIDED, p_text, tested, undecided
from sanpose.runs.ledger import RunRecord
from sanpose.statistics.paired import Paired, holm, paired
from sanpose.status.planned import is_search
from sweeps.record import SweepRecord

_LOOKED_VERDICT = (
    "Verdict: better or worse by the test after every seed, one test per row, corrected for the number of rows by"
    " Holm's method, at the level of the sweep. The paper makes no claim here."
)
_VERDICT = (
    "Verdict: better or worse by a two-sided paired t-test over seeds at 5 %, one test per row, without correction for"
    " the number of rows: among twenty points without any true difference, one is expected to look better or worse. The"
    " paper makes no claim here."
)


@dataclass(frozen=True)
class _ComparedPoint:
    """A point against the first point. `ours`: None without a pair; `looked`: in a sweep with seeds=auto."""

    point: Point
    runs: tuple[RunRecord, ...]
    ours: Paired | None
    looked: Looked | None
    corrected: float | None = None

    @property
    def decided(self) -> bool:
        if self.looked:
            return self.corrected is not None and self.corrected <= self.looked.auto.alpha
        return self.ours is not None and self.ours.decided

    def verdict(self, aim: Objective, undecided_rows: int) -> str:
        """ "better", "worse", or "undecided" with the missing seeds."""
        if self.ours is None or not self.decided:
            return self.looked.undecided(undecided_rows) if self.looked else undecided(self.ours, "both points")
        return "better" if (self.ours.mean < 0) == (aim.better == "low") else "worse"


def compared_table(sweep: SweepRecord, points: Sequence[Point], autos: Mapping[str, AutoSeeds]) -> Table | None:
    """A sweep's points (`points_of`) compared with the first point, by the first objective. None for a search, which
    has no reference point, and for a single point. autos: `autos_of` the sweeps."""
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
    comparisons = [_compared(first, point, aim, autos) for point in others]
    corrected = holm([one.looked.p if one.looked else None for one in comparisons])
    comparisons = [replace(one, corrected=p) for one, p in zip(comparisons, corrected, strict=True)]
    undecided_rows = sum(not one.decided for one in comparisons)
    rows = tuple(_row(one, aim, undecided_rows) for one in comparisons)
    name = slug(sweep.name, "compared")
    if not any(one.looked for one in comparisons):
        return Table(name, title, columns, rows, (what, _VERDICT, UNDECIDED))
    return Table(name, title, with_looked(columns, holm=True), rows, (what, _LOOKED_VERDICT, LOOKED_NOTE))


def _compared(first: Point, point: Point, aim: Objective, autos: Mapping[str, AutoSeeds]) -> _ComparedPoint:
    pairs = _pairs(first, point, aim)
    runs = tuple(run for a, b, _ in pairs for run in (a, b))
    differences = [value for _, _, value in pairs]
    ours = paired(differences, resampled=False) if pairs else None
    return _ComparedPoint(point, runs, ours, looked_test(differences, runs, autos))


def _row(one: _ComparedPoint, aim: Objective, undecided_rows: int) -> dict[str, Cell]:
    point, difference, scale = one.point, one.ours, scale_of(one.runs)
    mark = f"{scale}: a verdict on these runs, not on the paper's experiment" if scale else ""
    row = {
        "point": Cell(point.label),
        "seeds": Cell(difference.pairs if difference else 0),
        "verdict": Cell(one.verdict(aim, undecided_rows), mark=mark),
        "status": Cell(summary(point.states)),
        RUNS.key: ids(one.runs),
    }
    if one.looked:
        row |= looked_cells(one.looked) | {"p_holm": Cell(one.corrected), "p_holm_text": Cell(p_text(one.corrected))}
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


def _digits(aim: Objective) -> int:
    return aim.column.digits + 1
