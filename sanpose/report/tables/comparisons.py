"""The paper's Tables 3 (per action), 4 (MPII) and 5 (COCO): the published rows, then a row for each of our cells."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sanpose.data.actions import ACTIONS
from sanpose.errors import UserError
from sanpose.metrics.headline import MPJPE, PA_MPJPE, PA_MPJPE_SCALED, PCKH
from sanpose.report import paper
from sanpose.report.selection.runs import RUNS, CellRuns, difference, ids
from sanpose.report.table import Cell, Column, Table
from sanpose.report.tables.ablation import protocol_notes

_PUBLISHED = "Ours, as published"
_COCO = {"APM": "AP_M", "APL": "AP_L"}  # the paper's name -> COCO's name, which our metrics use
_MEAN = Column("mean_of_columns", "Mean of 15", "low")
_SHIFTED = (
    "Some rows of other papers look shifted from 'Photo' on, since those papers order the actions differently; this"
    " table shows them as published."
)
_SCALED = Column("average_with_scale", "Avg. + scale", "low")
_SEEDS = Column("seeds", "Seeds", digits=0)
_STATUS = Column("status", "Status")
_AVERAGES = (
    "Avg.: as published; ours is the mean over all frames. Mean of 15: the mean of the row's fifteen action columns,"
    " computed for every row."
)


@dataclass(frozen=True)
class _Compared:
    """The figure that rows are compared by: its column's key, and its path in our metrics."""

    key: str
    path: tuple[str, ...]


def table3(cells: Sequence[CellRuns], config_dir: Path, protocol: int) -> Table:
    """Table 3 a (protocol 1, MPJPE) or b (protocol 2, PA-MPJPE), mm, per action."""
    name, path = ((paper.PROTOCOL1, MPJPE), (paper.PROTOCOL2, PA_MPJPE))[protocol - 1]
    published = paper.rows(config_dir, name)
    columns = _columns(published, "low")
    actions = columns[1:-1]
    if len(actions) != len(ACTIONS):
        raise UserError(
            f"Table 3 has {len(actions)} actions", where=name, expected=f"{len(ACTIONS)} columns and the average"
        )

    def ours(cell: CellRuns) -> dict[str, Cell]:
        row = {
            column.key: cell.figure(*path[:-1], "per_action", action)
            for column, action in zip(actions, ACTIONS.values(), strict=True)
        }
        row[columns[-1].key] = cell.figure(*path)
        if protocol == 2:
            row[_SCALED.key] = cell.figure(*PA_MPJPE_SCALED)
        return row

    compared = _Compared(columns[-1].key, path)
    extra = (_MEAN, _SCALED) if protocol == 2 else (_MEAN,)
    rows = _rows(published, name, columns, cells, ours, compared)
    rows = [{**row, _MEAN.key: _mean(row, actions)} for row in rows]
    average = [(row[columns[-1].key].value, row[_MEAN.key].value) for row in rows if _is_papers_own(row)]
    notes = [_note(columns[-1]), _AVERAGES, *(_disagreement(*pair) for pair in average), _SHIFTED, _PROTOCOLS[protocol]]
    notes = [note for note in notes if note] + protocol_notes(cells, "h36m")
    shown = _with_difference(columns, compared, extra)
    return Table(f"table3{'ab'[protocol - 1]}", _TITLES[protocol], shown, tuple(rows), tuple(notes))


def table4(cells: Sequence[CellRuns], config_dir: Path) -> Table:
    """Table 4: PCKh@0.5 on MPII, percent."""
    published = paper.rows(config_dir, paper.MPII)
    columns = _columns(published, "high")

    def ours(cell: CellRuns) -> dict[str, Cell]:
        names = {c.key: "Mean" if c.key == "average" else c.key.capitalize() for c in columns[1:]}
        return {key: cell.figure(*PCKH[:-1], name) for key, name in names.items()}

    compared = _Compared("average", PCKH)
    rows = _rows(published, paper.MPII, columns, cells, ours, compared)
    notes = (
        _note(columns[-1]),
        "Average: over all labelled joints except pelvis and thorax, each counted once. The average includes the upper"
        " neck, which has no column, so the average is not the mean of the columns.",
        *protocol_notes(cells, "mpii"),
    )
    shown = _with_difference(columns, compared)
    return Table("table4", "Table 4. PCKh@0.5 on MPII (%)", shown, tuple(rows), notes)


def table5(cells: Sequence[CellRuns], config_dir: Path) -> Table:
    """Table 5: keypoint AP on COCO, percent."""
    published = paper.rows(config_dir, paper.COCO)
    columns = _columns(published, "high")

    def ours(cell: CellRuns) -> dict[str, Cell]:
        return {c.key: cell.figure("coco", _COCO.get(c.key, c.key), scale=100.0) for c in columns[1:]}

    compared = _Compared("AP", ("coco", "AP"))
    rows = _rows(published, paper.COCO, columns, cells, ours, compared)
    notes = (
        _note(columns[1]),
        "The published figures are for test-dev, from COCO's server; ours are for the set stated below. Eyes and ears"
        " are not among the paper's 18 joints, but AP counts them; ours come from the joint set union22.",
        *protocol_notes(cells, "coco"),
    )
    shown = _with_difference(columns, compared)
    return Table("table5", "Table 5. Keypoint AP on COCO (%)", shown, tuple(rows), notes)


_TITLES = {
    1: "Table 3 a. Human3.6M, protocol #1: MPJPE per action (mm)",
    2: "Table 3 b. Human3.6M, protocol #2: PA-MPJPE per action (mm)",
}
_PROTOCOLS = {
    1: "Protocol #1 in the paper's naming: trained on S1, 5, 6, 7, 8, tested on S9, 11.",
    2: "Protocol #2 in the paper's naming: trained on S1, 5, 6, 7, 8, 9, tested on S11, after rigid alignment; other"
    " authors swap the two numbers. Our poses are aligned by rotation and translation, and in 'Avg. + scale' also by"
    " scale, on the subjects stated below. Our figures follow protocol #2 only if these are the subjects of protocol"
    " #2.",
}


def _columns(published: Sequence[Mapping[str, str]], better: Literal["low", "high"]) -> tuple[Column, ...]:
    method, *figures = published[0]
    return (Column(method, "Method"), *(Column(key, key, better) for key in figures))


def _with_difference(
    columns: Sequence[Column], compared: _Compared, extra: Sequence[Column] = ()
) -> tuple[Column, ...]:
    """The published columns with the difference after its column, then the columns of our rows only."""
    place = next(i for i, column in enumerate(columns) if column.key == compared.key) + 1
    difference_column = Column("difference", f"Diff. of {columns[place - 1].title}", signed=True)
    return (*columns[:place], difference_column, *columns[place:], *extra, _SEEDS, _STATUS, RUNS)


def _note(column: Column) -> str:
    return (
        f"Diff.: our {column.title} minus {column.title} of '{_PUBLISHED}', which is the network of cell g. Our figures"
        " are means over the row's seeds, ± one sample standard deviation."
    )


def _rows(
    published: Sequence[Mapping[str, str]],
    name: str,
    columns: Sequence[Column],
    cells: Sequence[CellRuns],
    ours: Callable[[CellRuns], Mapping[str, Cell]],
    compared: _Compared,
) -> list[dict[str, Cell]]:
    """The published rows, then each of our cells, whatever the state of its runs."""
    first, figures = columns[0].key, columns[1:]
    rows: list[dict[str, Cell]] = [
        {
            first: Cell(_PUBLISHED if row[first] == paper.OURS else row[first]),
            **{c.key: Cell(paper.number(row[c.key], name), rank="paper") for c in figures},
        }
        for row in published
    ]
    reference = next((paper.number(row[compared.key], name) for row in published if row[first] == paper.OURS), None)
    for cell in cells:
        seeds = cell.measured(*compared.path)
        status = cell.status if seeds or not cell.done else f"{cell.status}, without this metric"
        figure = ours(cell)
        rows.append(
            {
                first: Cell(f"Ours here, cell {cell.letter}"),
                **figure,
                "difference": difference(figure[compared.key], reference),
                _SEEDS.key: Cell(seeds),
                _STATUS.key: Cell(status),
                RUNS.key: ids(cell.runs),
            }
        )
    return rows


def _mean(row: Mapping[str, Cell], actions: Sequence[Column]) -> Cell:
    cells = [row.get(column.key, Cell(None)) for column in actions]
    values = [cell.value for cell in cells if isinstance(cell.value, int | float)]
    if len(values) < len(actions):
        return Cell(None)
    return Cell(statistics.fmean(values), rank=cells[0].rank, mark=cells[0].mark)


def _is_papers_own(row: Mapping[str, Cell]) -> bool:
    return row["method"].value == _PUBLISHED


def _disagreement(average: object, mean: object) -> str:
    if not isinstance(average, float) or not isinstance(mean, float) or abs(average - mean) < 0.1:
        return ""
    return (
        f"The paper prints an average of {average:.1f} mm in its own row, but the row's fifteen columns average"
        f" {mean:.2f} mm; this table shows both."
    )
