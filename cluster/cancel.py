"""Cancel jobs, with the jobs that would follow or have joined them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cluster.errors import ClusterError
from cluster.raycluster import elastic
from cluster.slurm import commands, queue
from cluster.slurm.commands import NotAnsweringError
from cluster.slurm.jobs import JobRecord


def cancel(records: Sequence[JobRecord]) -> dict[str, str]:
    """Cancel every job that waits or runs; name -> outcome. Raises ClusterError when a job cannot be cancelled."""
    ids = [job for record in records for job in record.ids]
    statuses = queue.look(ids) if ids else {}
    outcomes = {}
    for record in records:
        if record.job_id is None:
            outcomes[record.name] = "the job was not submitted to a cluster"
            continue
        job = queue.latest(record.ids, statuses)
        status = statuses[job]
        if status.state.stage == "ended":
            outcomes[record.name] = f"job {job} has already ended ({status.state.word})"
        elif status.reason == queue.FORGOTTEN:
            outcomes[record.name] = f"job {job} ended long ago: {status.reason}"
        else:
            _cancel(job, Path(record.folder))
            outcomes[record.name] = f"cancelled job {job}, which was {status.state.word}"
    return outcomes


def _cancel(job_id: str, folder: Path) -> None:
    """Cancel the followers first, as one of them would start otherwise; then the job and its joiners."""
    try:
        joiners = elastic.read_jobs(folder)
    except FileNotFoundError:
        joiners = []
    try:
        commands.ask("scancel", *queue.followers(job_id), job_id, *joiners)
    except NotAnsweringError as error:
        raise ClusterError(f"job {job_id} is not cancelled: {error}", hint=f"scancel {job_id}") from error
