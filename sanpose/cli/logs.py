"""`sanpose logs`."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import click

from sanpose.cli.options import runs_option


@click.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Stay until the job has ended; Ctrl-C ends it.")
@click.option("--node", metavar="NAME", help="What Ray printed on this node, instead of the job.")
@runs_option
def logs(job: str, follow: bool, node: str | None, runs: Path) -> None:
    """Show what JOB has printed: Slurm's id, the job's name, or a prefix of its run's id."""
    from cluster import logs
    from cluster.slurm import jobs

    record = jobs.find(runs, job)
    path = logs.node_log(record, node) if node else record.output
    write = sys.stdout.buffer.write
    if not follow:
        if not path.exists():
            click.echo(f"nothing is printed yet: {logs.state(record)}", err=True)
            return
        with path.open("rb") as file:
            while block := file.read(1 << 16):
                write(block)
        return
    with suppress(KeyboardInterrupt):  # the way to end it
        told = logs.follow(path, record, write)
        click.echo(told, err=True)
