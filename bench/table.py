"""Markdown tables on standard output, a row as soon as it is known."""

from __future__ import annotations

import click


def head(*columns: str) -> None:
    """The names of the columns and the line below them."""
    row(*columns)
    row(*["---"] * len(columns))


def row(*cells: object) -> None:
    """One row."""
    click.echo(f"| {' | '.join(str(cell) for cell in cells)} |")
