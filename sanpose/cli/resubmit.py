"""`sanpose resubmit`."""

from __future__ import annotations

from pathlib import Path

import click

from sanpose.cli.options import runs_option


@click.command()
@click.argument("job")
@click.argument("overrides", nargs=-1)
@click.option("--fresh-code", is_flag=True, help="With the code as it is now, not as it was.")
@runs_option
def resubmit(job: str, overrides: tuple[str, ...], fresh_code: bool, runs: Path) -> None:
    """Submit JOB again: Slurm's id, the job's name, or a prefix of its run's id. It goes on where it was.

    OVERRIDES change what is asked of the cluster: cluster.time=48:00:00 cluster.nodes=2.
    """
    from cluster.slurm import jobs
    from sanpose.cli.submit import tell
    from sanpose.errors import UserError
    from sanpose.runs import lookup
    from sanpose.submission.submit import resubmit

    strange = [override for override in overrides if not override.startswith("cluster.")]
    if strange:
        raise UserError(
            f"'{strange[0]}' cannot be changed now", expected="cluster.KEY=VALUE", hint="sanpose submit with all of it"
        )
    record = jobs.find(runs, job)
    before = lookup.recorded(runs / record.target) if record.kind == "train" else None
    if before and before.status == "done":
        click.echo(f"run {record.target} is done already: {runs / record.target}")
        return
    tell(resubmit(record, overrides, fresh_code))
