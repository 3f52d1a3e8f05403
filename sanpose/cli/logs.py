"""`sanpose logs`."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import click

from sanpose.cli.options import runs_option


@click.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Print until the job ends or you press Ctrl-C.")
@click.option("--node", metavar="NAME", help="Show what Ray printed on this node instead.")
@runs_option
def logs(job: str, follow: bool, node: str | None, runs: Path) -> None:
    """Show what JOB has printed. JOB is a Slurm job id, a job name, or a prefix of the run id."""
    from cluster import logs
    from cluster.slurm import jobs

    record = jobs.find(runs, job)
    path = logs.node_log(record, node) if node else record.output
    write = sys.stdout.buffer.write
    if not follow:
        if not path.exists():
            click.echo(f"the job has printed nothing yet: {logs.state(record)}", err=True)
            return
        with path.open("rb") as file:
            while block := file.read(1 << 16):
                write(block)
        return
    with suppress(KeyboardInterrupt):
        click.echo(logs.follow(path, record, write), err=True)
