"""The console of commands that print wide tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def wide_console(width: int) -> Console:
    """A console of the terminal's width, or of `width` columns for a pipe or a file.

    A pipe has no width of its own, and rich's default of 80 columns would break the rows of a table.
    """
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=width)
