"""What Slurm says about jobs: one query for all of them, less often the longer nothing changes.

squeue knows live jobs and jobs that ended minutes ago; sacct knows older jobs where accounting is enabled. The status
of a job that neither knows is unknown, and so is every status when the cluster does not answer: never an error or a
guess.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cluster.slurm import commands
from cluster.slurm.commands import NotAnsweringError
from cluster.slurm.states import UNKNOWN, State, state

_FORMAT = "%i|%T|%N|%M|%r"
FORGOTTEN = "Slurm no longer knows this job"
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True)
class JobStatus:
    """What Slurm says about one job. slurm: Slurm's own word; reason: why the job waits, or why its status is unknown;
    nodes: as a host list; elapsed: as D-HH:MM:SS."""

    state: State
    slurm: str = ""
    reason: str = ""
    nodes: str = ""
    elapsed: str = ""


class Queue:
    """Queries Slurm at intervals: `shortest` s after a change, then twice as long each time, up to a minute.

    A job that has shown the same final state twice is not queried again. Once is not enough: a job that is being
    requeued can show for a moment how its first start ended.
    """

    def __init__(self, shortest: float = 2.0, seconds: float = commands.SECONDS):
        self._shortest, self._seconds = shortest, seconds
        self._interval, self._next = shortest, 0.0
        self._statuses: dict[str, JobStatus] = {}
        self._ended: set[str] = set()

    def statuses(self, job_ids: Collection[str]) -> dict[str, JobStatus]:
        """The status of each job, by its id."""
        live = [job for job in job_ids if job not in self._ended]
        if live and (time.monotonic() >= self._next or not set(live) <= self._statuses.keys()):
            self._look(live)
        return {job: self._statuses[job] for job in job_ids}

    def _look(self, job_ids: Collection[str]) -> None:
        statuses = look(job_ids, self._seconds)
        before = {job: self._statuses.get(job) for job in job_ids}
        same = {job for job, status in statuses.items() if (b := before[job]) and b.state == status.state}
        self._ended |= {job for job in same if statuses[job].state.stage == "ended"}
        self._interval = min(2 * self._interval, _LONGEST_SECONDS) if len(same) == len(statuses) else self._shortest
        self._next = time.monotonic() + self._interval
        self._statuses |= statuses


def look(job_ids: Collection[str], seconds: float = commands.SECONDS) -> dict[str, JobStatus]:
    """What Slurm says about these jobs now. Job ids are decimal numbers."""
    try:
        statuses = _squeue(job_ids, seconds)
    except NotAnsweringError as error:
        return {job: JobStatus(UNKNOWN, reason=str(error)) for job in job_ids}
    missing = [job for job in job_ids if job not in statuses]
    if missing:
        statuses |= _sacct(missing, seconds)
    return {job: statuses.get(job) or JobStatus(UNKNOWN, reason=FORGOTTEN) for job in job_ids}


def latest(ids: Sequence[str], statuses: Mapping[str, JobStatus]) -> str:
    """Which of a job and its follower counts: the follower once the job has ended. A job without a status, as it was
    submitted after the query, does not count yet."""
    live = [job for job in ids if job in statuses and statuses[job].state.live]
    return (live or list(ids))[0]


def followers(job_id: str, seconds: float = commands.SECONDS) -> list[str]:
    """This user's waiting jobs that depend on a job. Raises NotAnsweringError."""
    lines = commands.ask(
        "squeue", "--me", "--noheader", "--states=PENDING", "--format=%i|%E", seconds=seconds
    ).splitlines()
    waiting = dict(line.split("|", 1) for line in lines)
    words = {job: dependency.replace("(", " ").replace(",", " ").split() for job, dependency in waiting.items()}
    return [job for job, after in words.items() if any(word.endswith(f":{job_id}") for word in after)]


def _squeue(job_ids: Collection[str], seconds: float) -> dict[str, JobStatus]:
    command = ("squeue", "--noheader", "--states=all", f"--jobs={','.join(job_ids)}", f"--format={_FORMAT}")
    try:
        lines = commands.ask(*command, seconds=seconds).splitlines()
    except NotAnsweringError as error:
        if "Invalid job id" in str(error):  # squeue's error when it knows none of the jobs
            return {}
        raise
    rows = [line.strip().split("|", 4) for line in lines]
    return {
        job: JobStatus(state(word), word, "" if reason == "None" else reason, nodes, elapsed)
        for job, word, nodes, elapsed, reason in rows
    }


def _sacct(job_ids: Collection[str], seconds: float) -> Mapping[str, JobStatus]:
    command = ("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State,NodeList,Elapsed")
    try:
        lines = commands.ask(*command, f"--jobs={','.join(job_ids)}", seconds=seconds).splitlines()
    except NotAnsweringError:
        return {}  # usually because accounting is disabled
    rows = [line.split("|") for line in lines if line.count("|") == 3]
    return {
        job: JobStatus(state(word), word, "", "" if nodes == "None assigned" else nodes, elapsed)
        for job, word, nodes, elapsed in rows
    }
