"""`sanpose submit`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sanpose.submission.request import SubmissionRequest
    from sanpose.submission.submit import Submitted


@click.command()
@click.option(
    "--dry-run", is_flag=True, help="Print the script that Slurm would get and the job's folder; write nothing."
)
@click.option("--retry-failed", is_flag=True, help="Sweeps only: run failed trials once more.")
@click.option("--keep", metavar="KINDS", help="Sweeps only: which checkpoints to keep (see `sanpose tune --keep`).")
@click.argument("kind", type=click.Choice(["train", "tune"]))
@click.argument("overrides", nargs=-1)
def submit(kind: str, dry_run: bool, retry_failed: bool, keep: str | None, overrides: tuple[str, ...]) -> None:
    """Submit a training or a sweep to Slurm: sanpose submit train preset=paper cluster=gpu.

    OVERRIDES: the overrides of `sanpose train` or `sanpose tune`; cluster=NAME (configs/cluster/NAME.yaml, your own
    YAML file, or local: on this machine, in the foreground); cluster.KEY=VALUE (nodes, time, partition, account, ...).
    The job runs a copy of the present code. A job that already waits or runs is not submitted again.

    A sweep with elastic.max_nodes=N runs in a small head job (elastic.head=NAME sets its profile). Up to N jobs of one
    node each join its Ray cluster while trials wait, and leave it when no trials wait.
    """
    from sanpose.submission import request as requests
    from sanpose.submission.submit import submit

    request = requests.read(kind, overrides, _options(kind, retry_failed, keep))
    if request.done_message:
        click.echo(request.done_message)
    elif dry_run:
        _show(request)
    else:
        tell(submit(request))


def tell(submitted: Submitted) -> None:
    """Print the result of a submission and the next command."""
    record, status = submitted.record, submitted.status
    name = f"{'run' if record.kind == 'train' else 'sweep'} {record.target}"
    if status:
        reason = f", {status.reason}" if status.reason else ""
        click.echo(f"{name} is already job {record.job_id} ({status.state.word}{reason}): nothing is submitted")
    else:
        commit = record.code["commit"]
        code = f"commit {commit[:10]}" + (" with changes" if record.code["dirty"] else "") if commit else "present code"
        click.echo(f"{name} is job {record.job_id} on {record.cluster}, with the {code}")
    runs = Path(record.folder).parents[1]
    option = "" if runs == Path("runs").absolute() else f" --runs {shlex.quote(str(runs))}"
    click.echo(f"`sanpose logs {record.job_id} --follow{option}` shows what the job prints: {record.output}")


def _options(kind: str, retry_failed: bool, keep: str | None) -> list[str]:
    options = ["--retry-failed"] * retry_failed + ([f"--keep={keep}"] if keep is not None else [])
    if options and kind == "train":
        raise click.UsageError(f"{options[0]} is only for sweeps")
    if keep is not None:
        from sanpose.runs import checkpoints

        checkpoints.kinds(keep)
    return options


def _show(request: SubmissionRequest) -> None:
    from cluster.slurm.profiles import LOCAL
    from cluster.slurm.sbatch import joiner_text, sbatch_text
    from sanpose.submission.submit import code, spec
    from sweeps.secrecy import masked

    job = spec(request, code(request.runs))
    command = shlex.join(map(masked, job.command))
    if request.profile.name == LOCAL:
        click.echo(f"on this machine, in {job.cwd}, with the code in {job.snapshot}:\n{command}")
        return
    click.echo(sbatch_text(job), nl=False)
    if job.joiner:
        click.echo(f"\n# up to {job.max_joiners} of these jobs join the job:\n{joiner_text(job)}", nl=False)
    click.echo(f"# sbatch gets this script; the job's folder: {job.folder}")
    click.echo(f"# the launcher runs there: {command}")
