"""`sanpose report`: the paper's tables beside the recorded runs, in the terminal, as files and as a page."""

from __future__ import annotations

import os
from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--runs", type=FOLDER, default=Path("runs"), show_default=True, help="The folder of recorded runs.")
@click.option("--sweep", metavar="NAME", help="Use only the runs of this recorded sweep.")
@click.option("--out", type=FOLDER, default=Path("report"), show_default=True, help="Where the files are written.")
@click.option("--config-dir", type=FOLDER, help="The configs folder, with paper/*.csv; the project's own by default.")
@click.option("--preset", help="Use only the runs of this preset, such as quick or paper.")
@click.option(
    "--watts",
    type=click.FloatRange(min=0),
    nargs=2,
    default=(15.0, 300.0),
    show_default=True,
    metavar="CORE GPU",
    help="What a CPU core and a GPU are assumed to draw, for the estimate of the energy.",
)
@click.option("--page/--no-page", default=True, show_default=True, help="Draw the figures and write index.html.")
@click.option("--all", "everything", is_flag=True, help="Print every table; otherwise Table 1 and the claims.")
def report(
    runs: Path,
    sweep: str | None,
    out: Path,
    config_dir: Path | None,
    preset: str | None,
    watts: tuple[float, float],
    page: bool,
    everything: bool,
) -> None:
    """Rebuild the paper's tables from the recorded runs: terminal, Markdown, LaTeX, CSV, JSON, and a page with figures.

    Cells without a finished run are shown as missing, running or failed; they are never left out.
    """
    from rich.console import Console

    from sanpose.config.compose import configs_dir
    from sanpose.report.build import gather, write
    from sanpose.report.tables.bill import Watts
    from sanpose.report.terminal import to_terminal

    found = gather(runs, config_dir or configs_dir(), sweep, preset, Watts(*watts))
    files = write(found.all_tables, out)
    console = Console()
    # A pipe or a log has no width of its own; 80 columns would break the table's rows into pieces.
    console = console if console.is_terminal else Console(width=200)
    for table in found.all_tables if everything else (found.tables[0], found.claims):
        console.print(to_terminal(table))
    names = ", ".join(table.name for table in found.all_tables)
    click.echo(f"{names}, as .md, .tex, .csv and .json, and report.md: {len(files)} files in {out}/")
    if page:
        from sanpose.report.page import write as write_page

        address = write_page(found, out, processes=len(os.sched_getaffinity(0))).resolve().as_uri()
        click.echo(f"The page: {address}")
