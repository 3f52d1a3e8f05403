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

    verification = check(bundle)
    about = f"sweep {verification.listed.sweep}" if verification.listed.sweep else "all runs"
    click.echo(f"{bundle}: {about}, made by sanpose {verification.listed.version} on {verification.listed.created}")
    click.echo(
        f"{verification.runs} runs, {len(verification.listed.tables)} tables, {verification.cells:,} values of tables compared"
    )
    for problem in verification.problems[:_SHOWN]:
        click.echo(f"differs: {problem}", err=True)
    if verification.problems:
        click.echo(f"{len(verification.problems)} differences", err=True)
        sys.exit(1)
    if verification.rounded:
        click.echo(
            f"every table and verdict follows from the records; {verification.rounded} values differ after the ninth digit"
        )
    else:
        click.echo("every table and verdict follows from the records, to the last digit")
