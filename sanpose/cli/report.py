"""`sanpose report`: the paper's tables beside the recorded runs, in the terminal, as files and as a page."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sanpose.cli.console import wide_console
from sanpose.cli.options import FOLDER, runs_option


@click.command()
@runs_option
@click.option("--sweep", metavar="NAME", help="Use only the runs of this recorded sweep.")
@click.option("--out", type=FOLDER, default=Path("report"), show_default=True, help="The folder for the files.")
@click.option("--config-dir", type=FOLDER, help="The configs folder, with paper/*.csv; by default the project's own.")
@click.option("--preset", help="Use only the runs of this preset, such as quick or paper.")
@click.option(
    "--watts",
    type=click.FloatRange(min=0),
    nargs=2,
    default=(15.0, 300.0),
    show_default=True,
    metavar="CORE GPU",
    help="The assumed power of a CPU core and of a GPU, for the estimate of the energy.",
)
@click.option("--page/--no-page", default=True, show_default=True, help="Draw the figures and write index.html.")
@click.option("--all", "everything", is_flag=True, help="Print every table, not only Table 1 and the claims.")
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

    The tables show a cell without a finished run as missing, running or failed; they never omit a cell.
    """
    from sanpose.config.compose import configs_dir
    from sanpose.report.build import write
    from sanpose.report.gather import gather
    from sanpose.report.tables.bill import Watts
    from sanpose.report.terminal import to_terminal

    content = gather(runs, config_dir or configs_dir(), sweep, preset, Watts(*watts))
    files = write(content.all_tables, out)
    console = wide_console(200)
    for table in content.all_tables if everything else (content.tables[0], content.claims):
        console.print(to_terminal(table))
    names = ", ".join(table.name for table in content.all_tables)
    click.echo(f"{names}, as .md, .tex, .csv and .json, and report.md: {len(files)} files in {out}/")
    if page:
        from sanpose.report.page.write import write as write_page

        address = write_page(content, out, processes=len(os.sched_getaffinity(0))).resolve().as_uri()
        click.echo(f"The page: {address}")
