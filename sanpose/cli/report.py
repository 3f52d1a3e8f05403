"""`sanpose report`: the paper's tables beside the recorded runs, in the terminal and as files."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--runs", type=FOLDER, default=Path("runs"), show_default=True, help="The folder of recorded runs.")
@click.option("--out", type=FOLDER, default=Path("report"), show_default=True, help="Where the files are written.")
@click.option("--config-dir", type=FOLDER, help="The configs folder, with paper/*.csv; the project's own by default.")
@click.option("--preset", help="Use only the runs of this preset, such as quick or paper.")
@click.option("--all", "everything", is_flag=True, help="Print every table; otherwise Table 1 alone is printed.")
def report(runs: Path, out: Path, config_dir: Path | None, preset: str | None, everything: bool) -> None:
    """Rebuild the paper's tables from the recorded runs: terminal, Markdown, LaTeX, CSV and JSON.

    Cells without a finished run are shown as missing, running or failed; they are never left out.
    """
    from rich.console import Console

    from sanpose.config import configs_dir
    from sanpose.report.build import tables, write
    from sanpose.report.terminal import to_terminal

    found = tables(runs, config_dir or configs_dir(), preset)
    files = write(found, out)
    console = Console()
    # A pipe or a log has no width of its own; 80 columns would break the table's rows into pieces.
    console = console if console.is_terminal else Console(width=160)
    for table in found if everything else found[:1]:
        console.print(to_terminal(table))
    names = ", ".join(table.name for table in found)
    click.echo(f"{names}, as .md, .tex, .csv and .json, and report.md: {len(files)} files in {out}/")
