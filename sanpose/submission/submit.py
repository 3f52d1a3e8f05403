"""From what `sanpose submit` asks for to a job: its code, its script, its record.

A job is named after its run or its sweep, so that the same is never submitted twice while it waits or runs.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster import submit as slurm
from cluster.errors import ClusterError
from cluster.slurm import checks, jobs, profiles, queue, snapshot
from cluster.slurm.jobs import JobRecord
from cluster.slurm.queue import JobStatus
from cluster.slurm.spec import JobSpec
from sanpose.config.compose import REPOSITORY, configs_dir
from sanpose.runs import provenance
from sanpose.submission.request import SubmissionRequest

_PACKAGES = ("cluster", "sweeps", "sanpose")


@dataclass(frozen=True)
class Submitted:
    """A job, and whether it had been submitted before: then `told` is what Slurm says of it."""

    record: JobRecord
    told: JobStatus | None = None


def code(asked: SubmissionRequest) -> snapshot.SnapshotPlan:
    """The snapshot of the code that the job would run. Raises ClusterError as `snapshot.plan` does."""
    folders = [*(REPOSITORY / name for name in _PACKAGES), configs_dir()]
    return snapshot.plan(REPOSITORY, folders, exclude=[asked.runs])


def spec(asked: SubmissionRequest, planned: snapshot.SnapshotPlan) -> JobSpec:
    """The job as it would be submitted."""
    python = asked.profile.python or sys.executable
    command = (python, "-P", "-m", f"sanpose.{asked.kind}", *asked.words)
    copy = asked.runs / jobs.FOLDER / jobs.CODE / planned.hash
    place = (asked.folder, Path.cwd(), asked.profile, copy, sys.executable)
    return JobSpec(asked.target, command, *place, asked.joiner, asked.most)


def submit(asked: SubmissionRequest) -> Submitted:
    """Submit a job, unless it waits or runs already; `cluster=local` runs it here and does not return.

    Raises ClusterError when it cannot be submitted, or when nobody knows whether an earlier submission still runs.
    """
    before = _before(asked)
    if before:
        return before
    planned = code(asked)
    job = spec(asked, planned)
    local = asked.profile.name == profiles.LOCAL
    if not local:
        checks.check(job.profile)
        if job.joiner:
            checks.check(job.joiner)
    checks.check_folders(asked.runs, job.cwd, job.profile.node_local)
    with jobs.held(asked.folder):
        before = _before(asked)
        if before:
            return before
        snapshot.make(planned, asked.runs / jobs.FOLDER / jobs.CODE)
        if asked.file:
            (asked.folder / asked.file.name).write_bytes(asked.file.read_bytes())
        record = _record(asked, job, planned)
        jobs.write(record)
        if not local:
            return Submitted(_sent(record, job))
    return slurm.run_here(job)


def resubmit(record: JobRecord, overrides: Sequence[str], fresh: bool) -> Submitted:
    """Submit a recorded job again, with its snapshot of the code or with the code of now; overrides: of its profile.

    Raises ClusterError as `submit` does.
    """
    changed = {**profiles.changed(record.profile, overrides), "name": record.cluster}
    record = dataclasses.replace(record, profile=profiles.to_plain(profiles.from_plain(changed)))
    job = record.spec()
    if record.cluster == profiles.LOCAL:
        raise ClusterError("this job ran here, not on a cluster", where=record.name, hint="sanpose submit, or train")
    if not fresh and job.snapshot and not job.snapshot.is_dir():
        raise ClusterError("the job's snapshot of the code is gone", where=job.snapshot, hint="--fresh-code")
    before = _living(record)
    if before:
        return before
    checks.check(job.profile)
    checks.check_folders(job.folder.parents[1], job.cwd, job.profile.node_local)
    with jobs.held(job.folder):
        before = _living(jobs.read(job.folder))
        if before:
            return before
        if fresh:
            runs = job.folder.parents[1]
            folders = [*(REPOSITORY / name for name in _PACKAGES), configs_dir()]
            planned = snapshot.plan(REPOSITORY, folders, exclude=[runs])
            job = dataclasses.replace(job, snapshot=snapshot.make(planned, runs / jobs.FOLDER / jobs.CODE))
            record = dataclasses.replace(record, snapshot=str(job.snapshot), code=_code_of(planned))
        return Submitted(_sent(dataclasses.replace(record, submitted=provenance.now()), job))


def _sent(record: JobRecord, job: JobSpec) -> JobRecord:
    """Submit and record: first that it is about to be, then as which job."""
    jobs.write(dataclasses.replace(record, job_id=None))
    record = dataclasses.replace(record, job_id=slurm.submit(job))
    jobs.write(record)
    return record


def _before(asked: SubmissionRequest) -> Submitted | None:
    """The job of the same name, if it may still run."""
    if not (asked.folder / "job.json").exists():
        return None
    record = jobs.read(asked.folder)
    if record.kind != asked.kind:
        raise ClusterError(
            f"there is a job of this name for another purpose: {record.kind} {record.target}", where=asked.folder
        )
    return _living(record)


def _living(record: JobRecord) -> Submitted | None:
    """The job, or the one that follows it, if it waits or runs; None when it has ended, or Slurm has forgotten it."""
    if record.job_id is None:
        return None
    found = queue.look(record.ids)
    record = dataclasses.replace(record, job_id=queue.latest(record.ids, found))
    told = found[str(record.job_id)]
    if told.state.stage == "unknown" and told.reason != queue.FORGOTTEN:
        raise ClusterError(
            f"nobody can tell whether job {record.job_id} still runs: {told.reason or told.slurm}",
            where=record.folder,
            hint=f"try again when Slurm answers; `scancel {record.job_id}` if it is not wanted any more",
        )
    return Submitted(record, told) if told.state.live else None


def _record(asked: SubmissionRequest, job: JobSpec, planned: snapshot.SnapshotPlan) -> JobRecord:
    return JobRecord(
        name=job.name,
        kind=asked.kind,
        target=asked.target,
        job_id=None,
        cluster=asked.profile.name,
        profile=profiles.to_plain(asked.profile),
        command=job.command,
        overrides=asked.overrides,
        folder=str(job.folder),
        cwd=str(job.cwd),
        python=job.python,
        submitted=provenance.now(),
        code=_code_of(planned),
        snapshot=str(job.snapshot),
        elastic={"most": job.most, "profile": profiles.to_plain(job.joiner)} if job.joiner else None,
    )


def _code_of(planned: snapshot.SnapshotPlan) -> dict[str, object]:
    return {"commit": planned.git["commit"], "dirty": planned.git.get("dirty")}
