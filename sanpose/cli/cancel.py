"""`sanpose cancel`."""

from __future__ import annotations

from pathlib import Path

import click

from sanpose.cli.options import runs_option


@click.command()
@click.argument("job", required=False)
@click.option("--all", "everything", is_flag=True, help="Cancel every job in the folder of runs that waits or runs.")
@runs_option
def cancel(job: str | None, everything: bool, runs: Path) -> None:
    """Cancel JOB: a Slurm job id, a job name, or a prefix of the run id. The run's checkpoints are kept."""
    from cluster import cancel
    from cluster.slurm import jobs

    if (job is None) == (not everything):
        raise click.UsageError("pass a JOB or --all")
    records = jobs.read_all(runs)[0] if job is None else [jobs.find(runs, job)]
    outcomes = cancel.cancel(records)
    if job is None:
        outcomes = {name: outcome for name, outcome in outcomes.items() if outcome.startswith("cancelled")}
    for name, outcome in outcomes.items():
        click.echo(f"{name}: {outcome}")
    if not outcomes:
        click.echo(f"no job waits or runs in {runs}")
