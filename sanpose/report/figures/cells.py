"""The pictures of Table 1's cells: claims, curves, actions, compute, joints, and the bill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from sanpose.data.actions import ACTIONS
from sanpose.errors import UserError
from sanpose.model.cost import recorded_cost
from sanpose.report.figures import bars, joints, training
from sanpose.report.figures.bars import Bars
from sanpose.report.figures.claims import Step, forest
from sanpose.report.figures.plan import FigurePlan
from sanpose.report.figures.searches import Compute, pareto
from sanpose.report.figures.series import CurveGroup, curves
from sanpose.report.gather import Report
from sanpose.report.selection.runs import scale_of
from sanpose.report.table import Cell, Table, cell_of
from sanpose.runs import joint_maps
from sanpose.runs.ledger import RunRecord
from sanpose.runs.paths import RunPaths

BAND = "Bands: ± one sample standard deviation over seeds."
_MAPS = 6  # runs whose maps are drawn
_NONE = "no run of a cell of Table 1 has {}"


def plans(report: Report) -> Iterator[FigurePlan]:
    groups = [CurveGroup(f"cell {letter}", cell.runs) for letter, cell in report.cells.items() if cell.runs]
    yield _claims(report.claims)
    yield from curve_plans(groups, "table1", "", _NONE)
    yield _per_action(report)
    yield _compute(report)
    yield from _joints(report)


def curve_plans(
    groups: Sequence[CurveGroup], section: str, prefix: str, none: str, note: str = ""
) -> Iterator[FigurePlan]:
    """The learning curves and delta over training of groups of runs."""
    try:
        lines = [(group.label, [curves(run) for run in group.runs]) for group in groups]
    except UserError as error:
        yield FigurePlan(f"{prefix}learning", section, "Learning curves", "", missing=error.what)
        return
    caption = (
        "Left: the training loss, mean over an epoch. Right: MPJPE (mm, protocol #1 in the paper's naming) on the"
        f" samples of each evaluation (eval.every_samples); hollow circles: on all test frames. {BAND} {note}"
    ).strip()
    yield FigurePlan(
        f"{prefix}learning", section, "Learning curves", caption,
        draw=partial(training.learning, lines) if any(c.loss or c.mpjpe for _, own in lines for c in own) else None,
        missing=none.format("an epoch in its journal"),
    )  # fmt: skip
    yield FigurePlan(
        f"{prefix}delta", section, "δ over training",
        f"The trained weight of the attention after every epoch, no unit. {BAND} Runs without attention have no δ.",
        draw=partial(training.delta, lines) if any(c.delta for _, own in lines for c in own) else None,
        missing=none.format("attention and a finished epoch"),
    )  # fmt: skip


def bill(report: Report) -> FigurePlan:
    rows: list[tuple[str, float, float | None]] = []
    for row in report.bill.rows:
        label, hours, used = (row.get(key, Cell(None)).value for key in ("what", "hours", "accelerator_hours"))
        if isinstance(hours, int | float):
            rows.append((str(label), float(hours), float(used) if isinstance(used, int | float) else None))
    caption = "Measured: the sum of the runs' wall-clock times, and this time multiplied by the number of accelerators."
    last = rows[-24:]
    return FigurePlan(
        "bill", "bill", "The bill", caption + (f" The last {len(last)} of {len(rows)} rows." if last != rows else ""),
        draw=partial(bars.bill, last) if rows else None, missing="no run has recorded its time",
    )  # fmt: skip


def _claims(table: Table) -> FigurePlan:
    steps = []
    for row in table.rows:
        ours, low, high = (_number(row.get(key)) for key in ("ours_mm", "interval_low", "interval_high"))
        published = _number(row.get("paper_mm"))
        if published is not None:
            label = f"{row['step'].value}  {row['choice'].value}"
            steps.append(Step(label, published, ours, (low, high) if low is not None and high is not None else None))
    caption = (
        "Difference of MPJPE (mm) of each step of Table 1, later cell minus earlier cell: the paper's and ours. Bars:"
        " 95 % t interval of the mean paired difference over seeds."
    )
    return FigurePlan("claims", "claims", "Effect of each step of Table 1", caption, draw=partial(forest, steps))


def _per_action(report: Report) -> FigurePlan:
    table = next(table for table in report.tables if table.name == "table3a")
    columns = table.columns[1 : 1 + len(ACTIONS)]
    names = list(ACTIONS.values())
    # The last published row is the paper's own; rows of our cells have another rank.
    published = [row for row in table.rows if cell_of(row, columns[0]).rank == "paper"][-1]
    values = {
        n: (v, None) for n, c in zip(names, columns, strict=True) if (v := _number(published.get(c.key))) is not None
    }
    ours = []
    for letter, cell in report.cells.items():
        figures = {name: cell.figure("h36m", "mpjpe", "per_action", name) for name in names}
        measured = {name: (f.value, f.spread) for name, f in figures.items() if isinstance(f.value, float)}
        if measured:
            ours.append(Bars(f"cell {letter}", measured))
    caption = (
        "MPJPE (mm) of the fifteen actions of Human3.6M: the paper's own row (Table 3 a) and our cells. Lines:"
        f" ± one sample standard deviation over seeds. {_warning(report)}"
    ).strip()
    return FigurePlan(
        "per-action", "table3a", "MPJPE per action", caption,
        draw=partial(bars.per_action, names, Bars("paper, own row", values), ours) if ours else None,
        missing=_NONE.format("figures per action"),
    )  # fmt: skip


def _compute(report: Report) -> FigurePlan:
    points = []
    for letter, cell in report.cells.items():
        mpjpe, cost = cell.mpjpe, recorded_cost(cell.config)
        if isinstance(mpjpe.value, float) and cost is not None:
            points.append(Compute(letter, "cells of Table 1", cost.macs / 1e9, mpjpe.value, mpjpe.spread))
    caption = (
        "MPJPE (mm, all test frames) against the network's true multiply-accumulates for one image, counted from its"
        " configuration. Dashed: the Pareto front, where no other point is better in one and as good in the other."
    )
    return FigurePlan(
        "pareto", "table2", "MPJPE against compute", f"{caption} {_warning(report)}".strip(),
        draw=partial(pareto, points) if len(points) > 1 else None,
        missing="fewer than two cells have a finished run with an MPJPE on Human3.6M",
    )  # fmt: skip


_NO_MAPS = "no run has maps; `sanpose relationship --sweep NAME` or `--run ID` makes them"


def _joints(report: Report) -> Iterator[FigurePlan]:
    """Figure 3 for each run whose maps `sanpose relationship` has measured."""
    title = "Figure 3. Joint relationships for values of δ"
    measured = [run for run in report.records if RunPaths(run.folder).joint_maps.is_file()]
    if not measured:
        yield FigurePlan("joints", "table1", title, "", missing=_NO_MAPS)
    letters = _letters(report)
    measured.sort(key=lambda run: (list(letters).index(run.id) if run.id in letters else len(letters), run.id))
    for run in measured[:_MAPS]:
        yield from _maps(run, title, f"cell {letters[run.id]}, run {run.id}" if run.id in letters else f"run {run.id}")
    if len(measured) > _MAPS:
        others = ", ".join(run.id for run in measured[_MAPS:])
        yield FigurePlan(
            "joints-more", "table1", f"{title}, more runs", "", missing=f"the page shows {_MAPS} runs, not {others}"
        )


def _letters(report: Report) -> dict[str, str]:
    """A run's id -> its cell's letter, first one run of every cell, then second runs."""
    places = [(n, letter, run.id) for letter, cell in report.cells.items() for n, run in enumerate(cell.runs)]
    return {id: letter for _, letter, id in sorted(places)}


def _maps(run: RunRecord, title: str, label: str) -> Iterator[FigurePlan]:
    title = f"{title}, {label}"
    try:
        maps = joint_maps.read(RunPaths(run.folder).joint_maps)
    except UserError as error:
        yield FigurePlan(f"joints-{run.id}", "table1", title, "", missing=error.what)
        return
    numbers = ", ".join(f"{i} {name.replace('_', ' ')}" for i, name in enumerate(maps.joints))
    caption = (
        f"{maps.protocol} The paper does not define its maps; this is our reading. Below: bones in grey, and lines from"
        f" each joint to the three most similar joints; a stronger line means more similarity. Joints: {numbers}."
    )
    yield FigurePlan(f"joints-{run.id}", "table1", title, caption, draw=partial(joints.by_delta, maps))
    if len(maps.along) > 1:
        yield FigurePlan(
            f"joints-along-{run.id}", "table1", f"Joint relationships during training, {label}",
            "The same maps for the run's own checkpoints, with the δ of each checkpoint.",
            draw=partial(joints.along_training, maps),
        )  # fmt: skip


def _warning(report: Report) -> str:
    scale = scale_of([run for cell in report.cells.values() for run in cell.done])
    return f"Ours is {scale}: not comparable with the paper's figures." if scale else ""


def _number(cell: Cell | None) -> float | None:
    return float(cell.value) if cell is not None and isinstance(cell.value, int | float) else None
