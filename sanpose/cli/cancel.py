"""`sanpose cancel`."""

from __future__ import annotations

from pathlib import Path

import click

from sanpose.cli.options import runs_option


@click.command()
@click.argument("job", required=False)
@click.option("--all", "everything", is_flag=True, help="Every job below the folder of runs that waits or runs.")
@runs_option
def cancel(job: str | None, everything: bool, runs: Path) -> None:
    """Cancel JOB: Slurm's id, the job's name, or a prefix of its run's id. What it has trained stays."""
    from cluster import cancel
    from cluster.slurm import jobs

    if (job is None) == (not everything):
        raise click.UsageError("name a job, or say --all")
    records = jobs.read_all(runs)[0] if job is None else [jobs.find(runs, job)]
    outcomes = cancel.cancel(records)
    if job is None:
        outcomes = {name: told for name, told in outcomes.items() if told.startswith("cancelled")}
    for name, told in outcomes.items():
        click.echo(f"{name}: {told}")
    if not outcomes:
        click.echo(f"no job waits or runs below {runs}")
