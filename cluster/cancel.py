"""End jobs, and those that are chained to follow them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cluster.errors import ClusterError
from cluster.raycluster.elastic import JOINERS
from cluster.slurm import commands, queue
from cluster.slurm.commands import NotAnsweringError
from cluster.slurm.jobs import JobRecord


def cancel(records: Sequence[JobRecord]) -> dict[str, str]:
    """Cancel every job that waits or runs; name -> what became of it. Raises ClusterError when one is not cancelled."""
    ids = [job for record in records for job in record.ids]
    told = queue.look(ids) if ids else {}
    outcomes = {}
    for record in records:
        if record.job_id is None:
            outcomes[record.name] = "was not submitted to a cluster"
            continue
        job = queue.latest(record.ids, told)
        found = told[job]
        if found.state.stage == "ended":
            outcomes[record.name] = f"job {job} has ended already ({found.state.word})"
        elif found.reason == queue.FORGOTTEN:
            outcomes[record.name] = f"job {job} has ended long ago: {found.reason}"
        else:
            _end(job, Path(record.folder) / JOINERS)
            outcomes[record.name] = f"cancelled job {job}, which was {found.state.word}"
    return outcomes


def _end(job_id: str, joiners: Path) -> None:
    """Those that would follow first, or one of them would begin; then the job, and those that have joined it."""
    told = json.loads(joiners.read_text())["jobs"] if joiners.exists() else []
    try:
        commands.ask("scancel", *queue.followers(job_id), job_id, *told)
    except NotAnsweringError as error:
        raise ClusterError(f"job {job_id} is not cancelled: {error}", hint=f"scancel {job_id}") from error
