"""A table as plain values, and the texts that are equal in every format.

Knows columns, ranks, spreads and marks; does not know runs or formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

EMPTY = "–"
_SYMBOLS = "†‡§¶"


@dataclass(frozen=True)
class Column:
    """`better`: the better end of the numbers, None for a column without ranks. `machine_only`: only in CSV and
    JSON."""

    key: str
    title: str
    better: Literal["low", "high"] | None = None
    digits: int = 1
    signed: bool = False
    machine_only: bool = False


@dataclass(frozen=True)
class Cell:
    """`spread`: a standard deviation. `rank`: a column ranks the cells with equal `rank` among each other; "" for no
    ranking. `mark`: the reservation about the value, in words."""

    value: str | float | None
    spread: float | None = None
    rank: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """`rows`: column key -> cell; a missing key is an empty cell. `notes`: sentences below the table."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Cell], ...]
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[Column, ...]:
        """The columns for people."""
        return tuple(column for column in self.columns if not column.machine_only)


_NOTHING = Cell(None)


def cell_of(row: Mapping[str, Cell], column: Column) -> Cell:
    return row.get(column.key, _NOTHING)


def text_of(cell: Cell, column: Column) -> str:
    """The text of a cell: rounded, with its spread, on one line; EMPTY for no value."""
    if cell.value is None:
        return EMPTY
    if isinstance(cell.value, str):
        return " ".join(cell.value.split())
    sign = "+" if column.signed else ""
    spread = "" if cell.spread is None else f" ± {cell.spread:.{column.digits}f}"
    return f"{cell.value:{sign}.{column.digits}f}{spread}"


def standings(table: Table) -> dict[tuple[int, str], Literal["best", "second"]]:
    """(row index, column key) -> "best" or "second", by the rounded numbers, so that equal texts are ties.

    There is no best among fewer than two ranked values, and no second among fewer than three.
    """
    places: dict[tuple[int, str], Literal["best", "second"]] = {}
    for column in (c for c in table.columns if c.better):
        groups: dict[str, dict[int, float]] = {}
        for index, row in enumerate(table.rows):
            cell = cell_of(row, column)
            if cell.rank and isinstance(cell.value, int | float):
                groups.setdefault(cell.rank, {})[index] = round(float(cell.value), column.digits)
        for values in groups.values():
            order = sorted(set(values.values()), reverse=column.better == "high")
            for index, value in values.items():
                if len(values) >= 2 and value == order[0]:
                    places[index, column.key] = "best"
                elif len(values) >= 3 and value == order[1]:
                    places[index, column.key] = "second"
    return places


def symbols(table: Table) -> dict[str, str]:
    """Mark -> its symbol, in order of appearance: †, ‡, §, ¶, then doubled."""
    marks = dict.fromkeys(
        cell.mark for row in table.rows for cell in (cell_of(row, c) for c in table.shown) if cell.mark
    )
    return {m: _SYMBOLS[i % len(_SYMBOLS)] * (1 + i // len(_SYMBOLS)) for i, m in enumerate(marks)}


def is_numeric(table: Table, column: Column) -> bool:
    """Whether a column holds numbers, or would if its cells were not empty."""
    numbers = any(isinstance(cell_of(row, column).value, int | float) for row in table.rows)
    return numbers or column.better is not None or column.signed


def row_marks(row: Mapping[str, Cell]) -> str:
    """The marks of a row's cells in words, for formats without footnotes."""
    return "; ".join(dict.fromkeys(cell.mark for cell in row.values() if cell.mark))
