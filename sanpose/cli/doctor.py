"""`sanpose doctor`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sanpose.cli.options import runs_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cluster.doctor import Finding

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


@click.command()
@click.option("--cluster", metavar="NAME", help="Also check a node of this cluster: a profile name or a YAML file.")
@runs_option
@click.argument("overrides", nargs=-1)
def doctor(cluster: str | None, runs: Path, overrides: tuple[str, ...]) -> None:
    """Check this machine, Slurm and, with --cluster, a node. Exit code 1: a check failed.

    OVERRIDES change the cluster profile: cluster.partition=gpu.
    """
    from rich.console import Console

    from cluster import doctor as machine
    from cluster import doctor_slurm
    from cluster.slurm.profiles import read
    from sanpose.config.compose import configs_dir

    if overrides and cluster is None:
        raise click.UsageError("overrides need --cluster")
    profile = read(cluster, configs_dir() / "cluster", overrides) if cluster else None
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    local = Path(profile.node_local if profile else "/tmp")
    folder = runs.absolute() if runs.is_dir() else runs.absolute().parent
    findings = [*machine.examine(folder, local), *doctor_slurm.examine_slurm()]
    console.print(_table("this machine", findings))
    if profile:
        from sanpose.config.compose import REPOSITORY

        python = profile.python or sys.executable
        node_findings = doctor_slurm.examine_node(profile, python, folder, REPOSITORY)
        console.print(_table(f"a node of {profile.name}", node_findings))
        findings += node_findings
    if machine.worst(findings) == "failed":
        sys.exit(1)


def _table(title: str, findings: list[Finding]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold", show_header=False)
    for finding in findings:
        table.add_row(Text(finding.name), Text(finding.status, _STYLES[finding.status]), Text(finding.message))
    return table
