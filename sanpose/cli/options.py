"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, file_okay=False)

runs_option = click.option(
    "--runs", type=FOLDER, default=Path("runs"), show_default=True, help="The folder of recorded runs."
)
run_option = click.option("--run", required=True, metavar="ID", help="The run: a prefix of its id.")
checkpoint_option = click.option(
    "--checkpoint", default="last", show_default=True, help="last, best, or the name of a checkpoint."
)
