"""`sanpose restore`: the runs of a bundle in a folder of runs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="The folder of runs, made if there is none.",
)
@click.argument("bundle", type=click.Path(path_type=Path))
def restore(runs: Path, bundle: Path) -> None:
    """Copy the runs of BUNDLE, a folder or an archive, into a folder of runs, so that a sweep takes them from there.

    The bundle is verified first. Runs that the folder has already stay as they are.
    """
    from sanpose.report.bundle.restore import restore as copy

    done = copy(bundle, runs)
    click.echo(f"{len(done.copied)} runs restored in {runs}, {len(done.present)} were there already")
