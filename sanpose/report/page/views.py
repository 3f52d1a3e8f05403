"""Tables as the page shows them: the text of each cell, its sort key, the runs that a row opens. Knows no HTML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sanpose.report.selection.runs import RUNS
from sanpose.report.table import Cell, Column, Table, cell_of, is_numeric, standings, symbols, text_of

VERDICTS = ("confirmed", "contradicted", "undecided")
_OF_SWEEPS = ("better", "worse")
_STATES = ("done", "running", "failed", "interrupted", "pruned", "missing", "broken")


@dataclass(frozen=True)
class CellView:
    """`chip`: the verdict or state at the beginning of the cell, "" for none; `text`: the remaining text. `sort`: the
    sort key, a number or "" for no value; None to sort by the text. `standing`: best, second or ""."""

    text: str
    sort: str | None
    standing: str
    symbol: str
    mark: str
    chip: str


@dataclass(frozen=True)
class RowView:
    """`runs`: the ids of the runs that the row opens, with spaces between; `left_out`: how many of the row's runs have
    no details in the page. `paper`: whether the row is published, not measured here."""

    cells: tuple[CellView, ...]
    runs: str
    left_out: int
    paper: bool


@dataclass(frozen=True)
class HeadView:
    """`kind`: "paper" for a column of published figures, "ours" for our figures beside it, "status", "verdict", else
    ""."""

    title: str
    numeric: bool
    kind: str


@dataclass(frozen=True)
class TableView:
    name: str
    title: str
    heads: tuple[HeadView, ...]
    rows: tuple[RowView, ...]
    marks: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def view(table: Table, detailed: Collection[str]) -> TableView:
    """A table's view; detailed: the ids of the runs with details in the page."""
    standing, signs = standings(table), symbols(table)
    rows = []
    for index, row in enumerate(table.rows):
        cells = tuple(_cell(cell_of(row, c), c, standing.get((index, c.key), ""), signs) for c in table.shown)
        runs = str(cell_of(row, RUNS).value or "").split() if RUNS in table.columns else []
        opened = [name for name in runs if name in detailed]
        published = any(cell_of(row, c).rank == "paper" for c in table.shown) and table.name not in _BESIDE
        rows.append(RowView(cells, " ".join(opened), len(runs) - len(opened), published))
    heads = tuple(HeadView(c.title, is_numeric(table, c), _kind(c)) for c in table.shown)
    return TableView(table.name, table.title, heads, tuple(rows), tuple((s, m) for m, s in signs.items()), table.notes)


_BESIDE = ("table1", "table2")  # the paper's figures are columns in these tables, and rows in the others


def _cell(cell: Cell, column: Column, standing: str, signs: Mapping[str, str]) -> CellView:
    chip = _chip(cell, column)
    text, mark = text_of(cell, column)[len(chip) :], signs.get(cell.mark, "")
    if cell.value is None or isinstance(cell.value, str):
        return CellView(text, None if cell.value else "", standing, mark, cell.mark, chip)
    # A figure's minus sign is as wide as a plus sign.
    return CellView(text.replace("-", "−"), repr(float(cell.value)), standing, mark, cell.mark, chip)


def _chip(cell: Cell, column: Column) -> str:
    kinds = {"verdict": (*VERDICTS, *_OF_SWEEPS), "status": _STATES}.get(column.key, ())
    return next((kind for kind in kinds if str(cell.value or "").startswith(kind)), "")


def _kind(column: Column) -> str:
    key = column.key.partition("_")[0]
    return key if key in ("paper", "ours", "status", "verdict") else ""
