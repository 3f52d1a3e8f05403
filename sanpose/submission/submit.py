"""From a request of `sanpose submit` to a job: its code, its script, its record.

A job has the name of its run or sweep, so that the same run or sweep is not submitted twice while its job waits or
runs.
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
from cluster.slurm.jobs import CodeVersion, JobRecord
from cluster.slurm.queue import JobStatus
from cluster.slurm.spec import JobSpec
from sanpose.config.compose import REPOSITORY, configs_dir
from sanpose.runs import provenance
from sanpose.submission.request import SubmissionRequest

_PACKAGES = ("cluster", "sweeps", "sanpose")


@dataclass(frozen=True)
class Submitted:
    """A job. status: what Slurm says about a job that was submitted before; None for a new job."""

    record: JobRecord
    status: JobStatus | None = None


def code(runs: Path) -> snapshot.SnapshotPlan:
    """The snapshot of the present code, without the folder of runs. Raises ClusterError as `snapshot.plan` does."""
    folders = [*(REPOSITORY / name for name in _PACKAGES), configs_dir()]
    return snapshot.plan(REPOSITORY, provenance.git_state(REPOSITORY, own=True), folders, exclude=[runs])


def spec(request: SubmissionRequest, planned: snapshot.SnapshotPlan) -> JobSpec:
    """The job as it would be submitted."""
    python = request.profile.python or sys.executable
    command = (python, "-P", "-m", f"sanpose.{request.kind}", *request.job_arguments)
    copy = _store(request.runs) / planned.hash
    place = (request.folder, Path.cwd(), request.profile, copy, sys.executable)
    return JobSpec(request.target, command, *place, request.joiner, request.max_joiners)


def submit(request: SubmissionRequest) -> Submitted:
    """Submit a job, unless it waits or runs already. With `cluster=local` this process becomes the job's command and
    does not return.

    Raises ClusterError when the job cannot be submitted, or when it is unknown whether an earlier job still runs.
    """
    earlier = _earlier_job(request)
    if earlier:
        return earlier
    planned = code(request.runs)
    job = spec(request, planned)
    local = request.profile.name == profiles.LOCAL
    if not local:
        checks.check(job.profile)
        if job.joiner:
            checks.check(job.joiner)
    checks.check_folders(request.runs, job.cwd, job.profile.node_local)
    with jobs.locked(request.folder):
        earlier = _earlier_job(request)
        if earlier:
            return earlier
        snapshot.make(planned, _store(request.runs))
        if request.sweep_file:
            (request.folder / request.sweep_file.name).write_bytes(request.sweep_file.read_bytes())
        record = _record(request, job, planned)
        jobs.write(record)
        if not local:
            return Submitted(_submit_recorded(record, job))
    return slurm.run_here(job)


def resubmit(record: JobRecord, overrides: Sequence[str], fresh: bool) -> Submitted:
    """Submit a recorded job again. overrides: of its profile. fresh: with the present code instead of its snapshot.

    Raises ClusterError as `submit` does.
    """
    changed = {**profiles.changed(record.profile, overrides), "name": record.cluster}
    record = dataclasses.replace(record, profile=profiles.to_plain(profiles.from_plain(changed)))
    job = record.spec()
    if record.cluster == profiles.LOCAL:
        raise ClusterError(
            "this job ran on this machine, not on a cluster", where=record.name, hint="sanpose submit, or train"
        )
    if not fresh and job.snapshot and not job.snapshot.is_dir():
        raise ClusterError("the job's snapshot of the code is gone", where=job.snapshot, hint="--fresh-code")
    earlier = _live_job(record)
    if earlier:
        return earlier
    checks.check(job.profile)
    runs = job.folder.parents[1]
    checks.check_folders(runs, job.cwd, job.profile.node_local)
    with jobs.locked(job.folder):
        earlier = _live_job(jobs.read(job.folder))
        if earlier:
            return earlier
        if fresh:
            planned = code(runs)
            job = dataclasses.replace(job, snapshot=snapshot.make(planned, _store(runs)))
            record = dataclasses.replace(record, snapshot=str(job.snapshot), code=_version(planned))
        return Submitted(_submit_recorded(dataclasses.replace(record, submitted=provenance.now()), job))


def _store(runs: Path) -> Path:
    """The folder of the snapshots."""
    return runs / jobs.FOLDER / jobs.CODE


def _submit_recorded(record: JobRecord, job: JobSpec) -> JobRecord:
    """Submit a job; its record is written before (without a job id) and after the submission."""
    jobs.write(dataclasses.replace(record, job_id=None))
    record = dataclasses.replace(record, job_id=slurm.submit(job))
    jobs.write(record)
    return record


def _earlier_job(request: SubmissionRequest) -> Submitted | None:
    """The job of the same name, if it waits or runs."""
    if not (request.folder / jobs.FILE).exists():
        return None
    record = jobs.read(request.folder)
    if record.kind != request.kind:
        raise ClusterError(
            f"a job of this name exists for another purpose: {record.kind} {record.target}", where=request.folder
        )
    return _live_job(record)


def _live_job(record: JobRecord) -> Submitted | None:
    """The job or its follower, if it waits or runs; None when it has ended or Slurm no longer knows it."""
    if record.job_id is None:
        return None
    statuses = queue.look(record.ids)
    record = dataclasses.replace(record, job_id=queue.latest(record.ids, statuses))
    status = statuses[str(record.job_id)]
    if status.state.stage == "unknown" and status.reason != queue.FORGOTTEN:
        raise ClusterError(
            f"it is unknown whether job {record.job_id} still runs: {status.reason or status.slurm}",
            where=record.folder,
            hint=f"try again when Slurm answers; `scancel {record.job_id}` if you do not need the job any more",
        )
    return Submitted(record, status) if status.state.live else None


def _record(request: SubmissionRequest, job: JobSpec, planned: snapshot.SnapshotPlan) -> JobRecord:
    return JobRecord(
        name=job.name,
        kind=request.kind,
        target=request.target,
        job_id=None,
        cluster=request.profile.name,
        profile=profiles.to_plain(request.profile),
        command=job.command,
        overrides=request.overrides,
        folder=str(job.folder),
        cwd=str(job.cwd),
        python=job.python,
        submitted=provenance.now(),
        code=_version(planned),
        snapshot=str(job.snapshot),
        elastic={"most": job.max_joiners, "profile": profiles.to_plain(job.joiner)} if job.joiner else None,
    )


def _version(planned: snapshot.SnapshotPlan) -> CodeVersion:
    return {"commit": planned.commit, "dirty": planned.dirty}
