"""`sanpose resubmit`."""

from __future__ import annotations

from pathlib import Path

import click

from sanpose.cli.options import runs_option


@click.command()
@click.argument("job")
@click.argument("overrides", nargs=-1)
@click.option("--fresh-code", is_flag=True, help="Use the present code instead of the job's snapshot.")
@runs_option
def resubmit(job: str, overrides: tuple[str, ...], fresh_code: bool, runs: Path) -> None:
    """Submit JOB again; it resumes its run. JOB is a Slurm job id, a job name, or a prefix of the run id.

    OVERRIDES change the cluster profile: cluster.time=48:00:00 cluster.nodes=2.
    """
    from cluster.slurm import jobs
    from sanpose.cli.submit import tell
    from sanpose.errors import UserError
    from sanpose.runs import lookup
    from sanpose.submission.submit import resubmit

    others = [override for override in overrides if not override.startswith("cluster.")]
    if others:
        raise UserError(
            f"'{others[0]}' cannot change a submitted job",
            expected="cluster.KEY=VALUE",
            hint="sanpose submit with all overrides",
        )
    record = jobs.find(runs, job)
    result = lookup.recorded(runs / record.target) if record.kind == "train" else None
    if result and result.status == "done":
        click.echo(f"run {record.target} is already done: {runs / record.target}")
        return
    tell(resubmit(record, overrides, fresh_code))
