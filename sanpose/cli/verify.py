"""`sanpose verify`: whether a bundle's tables follow from its records."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_SHOWN = 20


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
def verify(bundle: Path) -> None:
    """Rebuild every table and verdict of BUNDLE, a folder or an archive, from its records, and compare.

    Also checked: the hash of every file, the id of every run against its configuration and data, and the figures of
    every record against its journal. Exit code 1: the bundle contradicts itself.
    """
    from sanpose.report.bundle.verify import verify as check

    checked = check(bundle)
    listed, count = checked.listed, len(checked.problems)
    click.echo(f"{bundle}: {listed.sweep or 'all runs'}, made by sanpose {listed.version} on {listed.created}")
    click.echo(f"{checked.runs} runs, {len(listed.tables)} tables, {checked.cells:,} values of tables compared")
    for problem in checked.problems[:_SHOWN]:
        click.echo(f"differs: {problem}", err=True)
    if count:
        click.echo(f"{count} differences", err=True)
        sys.exit(1)
    digits = f"; {checked.rounded} values differ after the ninth digit" if checked.rounded else ", to the last digit"
    click.echo(f"every table and verdict follows from the records{digits}")
