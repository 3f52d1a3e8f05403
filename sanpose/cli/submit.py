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
@click.option("--dry-run", is_flag=True, help="Print the script that Slurm would get, and where; write nothing.")
@click.option("--retry-failed", is_flag=True, help="Of a sweep: try the trials that failed once more.")
@click.option("--keep", "kept", metavar="KINDS", help="Of a sweep: the checkpoints that stay, as `sanpose tune` takes.")
@click.argument("kind", type=click.Choice(["train", "tune"]))
@click.argument("overrides", nargs=-1)
def submit(kind: str, dry_run: bool, retry_failed: bool, kept: str | None, overrides: tuple[str, ...]) -> None:
    """Give a training or a sweep to Slurm: sanpose submit train preset=paper cluster=gpu.

    OVERRIDES: those of `sanpose train` or `sanpose tune`, and cluster=NAME (configs/cluster/NAME.yaml, a YAML file of
    yours, or local: here and now), cluster.KEY=VALUE (nodes, time, partition, account, ...). The code goes along as it
    is now. What has been submitted already and waits or runs is not submitted twice.

    A sweep with elastic.max_nodes=N runs in a small job (elastic.head=NAME says which), whose Ray cluster up to N jobs
    of one node join while trials wait, and leave when none do.
    """
    from sanpose.submission import request as asking
    from sanpose.submission.submit import submit

    asked = asking.read(kind, overrides, _options(kind, retry_failed, kept))
    if asked.done:
        click.echo(asked.done)
    elif dry_run:
        _show(asked)
    else:
        tell(submit(asked))


def tell(submitted: Submitted) -> None:
    """What has become of a submission, and what to do next."""
    record, told = submitted.record, submitted.told
    what = f"{'run' if record.kind == 'train' else 'sweep'} {record.target}"
    if told:
        why = f", {told.reason}" if told.reason else ""
        click.echo(f"{what} is job {record.job_id} already ({told.state.word}{why}): nothing is submitted")
    else:
        code = record.code["commit"]
        commit = f"commit {code[:10]}" + (" with changes" if record.code["dirty"] else "") if code else "code of now"
        click.echo(f"{what} is job {record.job_id} on {record.cluster}, with the {commit}")
    runs = Path(record.folder).parents[1]
    where = "" if runs == Path("runs").absolute() else f" --runs {shlex.quote(str(runs))}"
    click.echo(f"sanpose logs {record.job_id} --follow{where} shows what it prints: {record.output}")


def _options(kind: str, retry_failed: bool, kept: str | None) -> list[str]:
    given = ["--retry-failed"] * retry_failed + ([f"--keep={kept}"] if kept is not None else [])
    if given and kind == "train":
        raise click.UsageError(f"{given[0]} is an option of sweeps")
    if kept is not None:
        from sanpose.runs import checkpoints

        checkpoints.kinds(kept)
    return given


def _show(asked: SubmissionRequest) -> None:
    from cluster.slurm.profiles import LOCAL
    from cluster.slurm.sbatch import joiner_text, sbatch_text
    from sanpose.submission.submit import code, spec
    from sweeps.secrecy import masked

    job = spec(asked, code(asked))
    command = shlex.join(map(masked, job.command))
    if asked.profile.name == LOCAL:
        click.echo(f"here, in {job.cwd}, with the code in {job.snapshot}:\n{command}")
        return
    click.echo(sbatch_text(job), nl=False)
    if job.joiner:
        click.echo(f"\n# up to {job.most} of these join it:\n{joiner_text(job)}", nl=False)
    click.echo(f"# goes to sbatch; the job's folder: {job.folder}")
    click.echo(f"# the launcher runs there: {command}")
