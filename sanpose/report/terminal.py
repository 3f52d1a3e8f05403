"""A table for the terminal, drawn by rich: best in bold green, second underlined, marks in yellow."""

from __future__ import annotations

from typing import Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from sanpose.report.table import Cell, Column, Table, cell_of, standings, symbols, text_of

_MANY = 15  # columns
_FIXED = {"names": 21, "status": 16}  # characters, in a table with many columns
_STYLES = {"best": "bold green", "second": "underline", "": ""}


def to_terminal(table: Table) -> RenderableType:
    """A renderable for a rich console: title, marks, the table, notes."""
    standing, signs = standings(table), symbols(table)
    wide = len(table.shown) > _MANY
    grid = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False, pad_edge=False)
    for place, column in enumerate(table.shown):
        numeric = any(isinstance(cell_of(row, column).value, int | float) for row in table.rows)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        # Names and states get their width before the figures: readers look for them first.
        names = _names(table, place)
        # Without a fixed width, rich narrows these columns of a wide table first, and then cuts off the last columns.
        fixed = _FIXED.get("names" if names else column.key) if wide else None
        grid.add_column(Text(column.title), justify=justify, overflow="fold", min_width=21 if names else 4, width=fixed)

    def drawn(index: int, cell: Cell, column: Column) -> Text:
        text = Text(text_of(cell, column), style=_STYLES[standing.get((index, column.key), "")])
        return text.append(signs[cell.mark], style="yellow not underline") if cell.mark else text

    for index, row in enumerate(table.rows):
        grid.add_row(*(drawn(index, cell_of(row, column), column) for column in table.shown))
    marks = [Text(f"{symbol} {mark}", style="bold yellow") for mark, symbol in signs.items()]
    notes = [Text(f"- {note}", style="dim") for note in table.notes]
    return Group(Text(table.title, style="bold"), *marks, Text(), grid, *notes, Text())


def _names(table: Table, place: int) -> bool:
    column = table.shown[place]
    return place == 0 and max((len(text_of(cell_of(row, column), column)) for row in table.rows), default=0) > 18
