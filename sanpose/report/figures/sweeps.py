"""The pictures of a sweep: its objective against what was swept, the best points' curves, importances, the front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from sanpose.model.cost import cost
from sanpose.report.figures import searches, study
from sanpose.report.figures.cells import curve_plans
from sanpose.report.figures.plan import FigurePlan
from sanpose.report.figures.searches import Compute, Measured
from sanpose.report.figures.series import MPJPE, CurveGroup
from sanpose.report.selection.points import Objective, Point, objectives_of
from sanpose.report.selection.runs import lookup
from sanpose.report.table import Table
from sweeps.record import SweepRecord

_CURVES = 8  # points whose curves are drawn
_KEYS = 4  # pictures of the objective against one key


def plans(sweep: SweepRecord, points: Sequence[Point], table: Table) -> Iterator[FigurePlan]:
    aim = objectives_of(sweep)[0]
    what = aim.column.title
    found = [(point, m) for point in points if (m := _measured(point, aim)) is not None]
    measured = [m for _, m in found]
    name = f"{table.name}-"
    yield from _against(table, measured, what, name)
    yield _importance(table, sweep, what, name)
    yield from _curves(table, points, found, aim, name)
    yield from _front(table, points, name)


def _against(table: Table, points: Sequence[Measured], what: str, name: str) -> Iterator[FigurePlan]:
    keys = list(dict.fromkeys(key for point in points for key in point.values))
    # Keys that never change say nothing, and a search draws them as one straight line.
    keys = [key for key in keys if len({str(point.values.get(key)) for point in points}) > 1]
    if not keys:
        yield FigurePlan(
            f"{name}against", table.name, f"{what} against what was swept", "",
            missing="fewer than two points have a finished run that was measured",
        )  # fmt: skip
    for place, key in enumerate(keys[:_KEYS] if len(keys) <= _KEYS else ()):
        others = (
            " Points that differ in the other swept keys stand above each other; the line joins their means."
            if len(keys) > 1
            else ""
        )
        yield FigurePlan(
            f"{name}against-{place}", table.name, f"{what} against {key}",
            f"Each point of the sweep: mean over its seeds, lines: ± one sample standard deviation.{others}",
            draw=partial(searches.against, points, key, what),
        )  # fmt: skip
    if len(keys) > 1:
        low = table_column_is_low(table, what)
        yield FigurePlan(
            f"{name}parallel", table.name, "Parallel coordinates",
            f"A line for each of {len(points):,} points, through its swept values to its {what}; coloured: the best"
            " tenth.",
            draw=partial(searches.parallel, points, keys, what, low_is_best=low),
        )  # fmt: skip


def table_column_is_low(table: Table, what: str) -> bool:
    return all(column.better != "high" for column in table.columns if column.title == what)


def _importance(table: Table, sweep: SweepRecord, what: str, name: str) -> FigurePlan:
    make = partial(FigurePlan, f"{name}importance", table.name, f"What matters for {what}")
    try:
        shares = study.importances(sweep)
    except study.NoImportanceError as error:
        return make("", missing=str(error))
    caption = (
        f"The importance of each key for {what} by PED-ANOVA over the finished trials of the sweep's Optuna study:"
        " how differently the better trials are spread over its values from all trials. Shares of 1; an estimate that"
        " few trials make rough."
    )
    return make(caption, draw=partial(searches.importance, shares))


def _curves(
    table: Table, points: Sequence[Point], found: Sequence[tuple[Point, Measured]], aim: Objective, name: str
) -> Iterator[FigurePlan]:
    order = sorted(found, key=lambda pair: pair[1].mean, reverse=aim.better == "high")
    chosen = [point for point, _ in order[:_CURVES]] or [point for point in points if point.runs][:_CURVES]
    groups = [CurveGroup(point.label, point.runs) for point in chosen]
    best = "best" if len(groups) == 1 else f"{len(groups)} best"
    note = f"The {best} of {len(points):,} points." if len(groups) < len(points) else ""
    yield from curve_plans(groups, table.name, name, "no run of this sweep has {}", note)


def _front(table: Table, points: Sequence[Point], name: str) -> Iterator[FigurePlan]:
    found = []
    for point in points:
        values = [v for run in point.done if (v := lookup(run.metrics, *MPJPE)) is not None]
        count = cost(point.runs[0].config) if point.runs else None
        if values and count is not None:
            found.append(Compute(point.label, "points", count.macs / 1e9, sum(values) / len(values)))
    if len({point.gmacs for point in found}) > 1:
        yield FigurePlan(
            f"{name}pareto", table.name, "MPJPE against compute",
            "MPJPE (mm, all test frames) against true multiply-accumulates for one image, counted from the"
            " configuration. Dashed: the points that no other beats in both.",
            draw=partial(searches.pareto, found),
        )  # fmt: skip


def _measured(point: Point, aim: Objective) -> Measured | None:
    cell = point.figure(aim)
    return Measured(point.label, point.values, cell.value, cell.spread) if isinstance(cell.value, float) else None
