"""The pictures of a sweep: its objective against the swept keys, the curves of its best points, importances, the
front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from sanpose.model.cost import recorded_cost
from sanpose.report.figures import searches, study
from sanpose.report.figures.cells import curve_plans
from sanpose.report.figures.plan import FigurePlan
from sanpose.report.figures.searches import Compute, Measured
from sanpose.report.figures.series import CurveGroup
from sanpose.report.selection.points import Objective, Point, objectives_of
from sanpose.report.table import Table
from sanpose.runs import facts
from sweeps.record import SweepRecord

CURVES = 8  # points whose curves are drawn
_KEYS = 4  # pictures of the objective against one key


def plans(sweep: SweepRecord, points: Sequence[Point], table: Table) -> Iterator[FigurePlan]:
    aim = objectives_of(sweep)[0]
    objective = aim.column.title
    measured = [(point, m) for point in points if (m := _measured(point, aim)) is not None]
    name = f"{table.name}-"
    yield from _against(table, [m for _, m in measured], aim, name)
    yield _importance(table, sweep, objective, name)
    yield from _curves(table, points, measured, aim, name)
    yield from _front(table, points, name)


def _against(table: Table, points: Sequence[Measured], aim: Objective, name: str) -> Iterator[FigurePlan]:
    objective = aim.column.title
    keys = list(dict.fromkeys(key for point in points for key in point.values))
    # A key that never changes explains nothing.
    keys = [key for key in keys if len({str(point.values.get(key)) for point in points}) > 1]
    if not keys:
        yield FigurePlan(
            f"{name}against", table.name, f"{objective} against the swept keys", "",
            missing="fewer than two points have a finished run with this figure",
        )  # fmt: skip
    for place, key in enumerate(keys[:_KEYS] if len(keys) <= _KEYS else ()):
        others = (
            " Points with the same value of this key are above each other; the line joins their means."
            if len(keys) > 1
            else ""
        )
        yield FigurePlan(
            f"{name}against-{place}", table.name, f"{objective} against {key}",
            f"Each point of the sweep: mean over its seeds; lines: ± one sample standard deviation.{others}",
            draw=partial(searches.against, points, key, objective),
        )  # fmt: skip
    if len(keys) > 1:
        yield FigurePlan(
            f"{name}parallel", table.name, "Parallel coordinates",
            f"A line for each of {len(points):,} points, through its swept values to its {objective}; coloured: the"
            " best tenth.",
            draw=partial(searches.parallel, points, keys, objective, low_is_best=aim.better == "low"),
        )  # fmt: skip


def _importance(table: Table, sweep: SweepRecord, objective: str, name: str) -> FigurePlan:
    make = partial(FigurePlan, f"{name}importance", table.name, f"Importance of the swept keys for {objective}")
    try:
        shares = study.importances(sweep)
    except study.NoImportanceError as error:
        return make("", missing=str(error))
    caption = (
        f"The importance of each key for {objective} by PED-ANOVA over the finished trials of the sweep's Optuna"
        " study: the difference between the distribution of the better trials over the key's values and the"
        " distribution of all trials. Shares of 1; the estimate is rough for few trials."
    )
    return make(caption, draw=partial(searches.importance, shares))


def _curves(
    table: Table, points: Sequence[Point], measured: Sequence[tuple[Point, Measured]], aim: Objective, name: str
) -> Iterator[FigurePlan]:
    order = sorted(measured, key=lambda pair: pair[1].mean, reverse=aim.better == "high")
    chosen = [point for point, _ in order[:CURVES]] or [point for point in points if point.runs][:CURVES]
    groups = [CurveGroup(point.label, point.runs) for point in chosen]
    best = "best" if len(groups) == 1 else f"{len(groups)} best"
    note = f"The {best} of {len(points):,} points." if len(groups) < len(points) else ""
    yield from curve_plans(groups, table.name, name, "no run of this sweep has {}", note)


def _front(table: Table, points: Sequence[Point], name: str) -> Iterator[FigurePlan]:
    measured = []
    for point in points:
        values = [v for run in point.done if (v := facts.mpjpe(run)) is not None]
        cost = recorded_cost(point.runs[0].config) if point.runs else None
        if values and cost is not None:
            measured.append(Compute(point.label, "points", cost.macs / 1e9, sum(values) / len(values)))
    if len({point.gmacs for point in measured}) > 1:
        yield FigurePlan(
            f"{name}pareto", table.name, "MPJPE against compute",
            "MPJPE (mm, all test frames) against true multiply-accumulates for one image, counted from the"
            " configuration. Dashed: the Pareto front, where no other point is better in one and as good in the other.",
            draw=partial(searches.pareto, measured),
        )  # fmt: skip


def _measured(point: Point, aim: Objective) -> Measured | None:
    cell = point.figure(aim)
    return Measured(point.label, point.values, cell.value, cell.spread) if isinstance(cell.value, float) else None
