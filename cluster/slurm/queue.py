"""What Slurm says of jobs: one question for all of them, asked less often the longer nothing happens.

squeue knows the living and those that ended minutes ago, sacct the others, where accounting is on. What neither knows
is unknown, and so is everything when the cluster does not answer: never an error, and never a guess.
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
    """What Slurm says of one job. slurm: its own word; reason: why it waits, or why nothing is known; nodes: as a host
    list; elapsed: Slurm's D-HH:MM:SS."""

    state: State
    slurm: str = ""
    reason: str = ""
    nodes: str = ""
    elapsed: str = ""


class Queue:
    """Asks Slurm now and then: `shortest` s after a change, then twice as long each time, up to a minute.

    A job that was seen twice to have ended the same way is not asked about again: one that is being requeued can show
    for a moment how its first life ended.
    """

    def __init__(self, shortest: float = 2.0, seconds: float = commands.SECONDS):
        self._shortest, self._seconds = shortest, seconds
        self._interval, self._next = shortest, 0.0
        self._told: dict[str, JobStatus] = {}
        self._settled: set[str] = set()

    def told(self, job_ids: Collection[str]) -> dict[str, JobStatus]:
        """What is known of each job, by its id."""
        asked = [job for job in job_ids if job not in self._settled]
        if asked and (time.monotonic() >= self._next or not set(asked) <= self._told.keys()):
            self._look(asked)
        return {job: self._told[job] for job in job_ids}

    def _look(self, job_ids: Collection[str]) -> None:
        found = look(job_ids, self._seconds)
        before = {job: self._told.get(job) for job in job_ids}
        same = {job for job, told in found.items() if (b := before[job]) and b.state == told.state}
        self._settled |= {job for job in same if found[job].state.stage == "ended"}
        self._interval = min(2 * self._interval, _LONGEST_SECONDS) if len(same) == len(found) else self._shortest
        self._next = time.monotonic() + self._interval
        self._told |= found


def look(job_ids: Collection[str], seconds: float = commands.SECONDS) -> dict[str, JobStatus]:
    """What Slurm says of these jobs at this moment. Job ids are decimal numbers."""
    try:
        found = _squeue(job_ids, seconds)
    except NotAnsweringError as error:
        return {job: JobStatus(UNKNOWN, reason=str(error)) for job in job_ids}
    missing = [job for job in job_ids if job not in found]
    if missing:
        found |= _sacct(missing, seconds)
    return {job: found.get(job) or JobStatus(UNKNOWN, reason=FORGOTTEN) for job in job_ids}


def latest(ids: Sequence[str], told: Mapping[str, JobStatus]) -> str:
    """Of a job and the one that follows it, the one that counts: the second once the first has ended. One that was
    submitted since `told` was asked for does not count yet."""
    living = [job for job in ids if job in told and told[job].state.live]
    return (living or list(ids))[0]


def followers(job_id: str, seconds: float = commands.SECONDS) -> list[str]:
    """The waiting jobs of this user that follow a job. Raises NotAnsweringError."""
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
        if "Invalid job id" in str(error):  # squeue says so when it knows none of them
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
        return {}  # most often: there is no accounting
    rows = [line.split("|") for line in lines if line.count("|") == 3]
    return {
        job: JobStatus(state(word), word, "", "" if nodes == "None assigned" else nodes, elapsed)
        for job, word, nodes, elapsed in rows
    }
