"""`sanpose bundle`: a sweep's records and tables as one artefact that others can check."""

from __future__ import annotations

from pathlib import Path

import click

from sanpose.cli.options import FOLDER, runs_option


@click.command()
@runs_option
@click.option("--sweep", metavar="NAME", help="Only the runs of this recorded sweep.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The bundle: a new folder, or a file that ends in .tar.xz, .tar.gz or .tar.",
)
@click.option("--weights", is_flag=True, help="Also pack the checkpoints that the runs keep.")
@click.option("--config-dir", type=FOLDER, help="The configs folder; by default the project's own.")
def bundle(runs: Path, sweep: str | None, out: Path, weights: bool, config_dir: Path | None) -> None:
    """Pack configurations, provenance, journals, results and tables, for a paper's reviewers.

    The bundle holds no data, no pictures and no logs. Folders of this machine and its name are left out: of a path only
    the last part stays. Uncommitted changes of the code (diff.patch) are packed as they are. `sanpose verify` checks a
    bundle.
    """
    from sanpose.config.compose import configs_dir
    from sanpose.report.bundle.pack import pack

    listed = pack(runs, sweep, out, config_dir or configs_dir(), weights=weights)
    click.echo(f"{len(listed.changed)} runs and {len(listed.tables)} tables: {out}")
