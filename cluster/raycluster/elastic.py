"""Nodes for a sweep as it needs them: jobs that join its Ray cluster, submitted while trials wait, cancelled when none
do. They may be preempted at any time.

The command says in its job's folder what it could use (`demand.json`); the launcher, in a thread, has as many jobs of
one node each as that asks for, and no more than it may.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import phases
from cluster.files import write_atomic
from cluster.slurm import commands
from cluster.slurm.commands import NotAnsweringError
from cluster.slurm.sbatch import JOINERS_OUTPUT

DEMAND = "demand.json"
JOINERS = "joiners.json"  # the jobs, for whoever wants to know or to clear up
START = "SANPOSE_START"  # in the worker job's environment: the folder of the start that it joins
MOST = "SANPOSE_MAX_NODES"  # in the command's environment: how many nodes may join
_LOOK_SECONDS, _SECONDS = 3.0, 30.0
_LIVE = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED")
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 600.0  # of waiting after a job that did not join
_IDLE_SECONDS = 20.0  # between two trials a node is idle for a moment


def most_nodes() -> int:
    """How many nodes may join this job's cluster; 0 where none do."""
    return int(os.environ.get(MOST, 0))


def demand(trials: int, per_node: int, busy: list[str]) -> None:
    """Say how many trials are left, how many a node can run side by side, and the addresses of nodes that run any.
    Outside a job nothing happens."""
    folder = os.environ.get(phases.FOLDER)
    if folder:
        told = {"trials": trials, "per_node": per_node, "busy": busy}
        write_atomic(Path(folder) / DEMAND, json.dumps(told))


def nodes_wanted(told: Mapping[str, Any], most: int) -> int:
    """How many nodes the demand can use."""
    return min(most, -(-int(told["trials"]) // max(1, int(told["per_node"]))))


@dataclass(frozen=True)
class Change:
    """What to do: how many jobs to submit, and which to cancel."""

    submit: int
    cancel: tuple[str, ...]


def plan(wanted: int, states: Mapping[str, str], idle: frozenset[str]) -> Change:
    """Submit what is missing; of what is too much, cancel the jobs that wait, then those whose node is idle.

    states: of the live jobs, by number: PENDING, RUNNING, ...
    """
    if len(states) <= wanted:
        return Change(wanted - len(states), ())
    waiting = [job for job, state in states.items() if state == "PENDING"]
    free = [job for job, state in states.items() if state != "PENDING" and job in idle]
    return Change(0, tuple([*reversed(waiting), *free][: len(states) - wanted]))


class Workers(threading.Thread):
    """The thread that has jobs of `script` join the start in `folder` (of the job folder `job`), `most` at once."""

    def __init__(self, script: Path, most: int, job: Path, start: Path):
        super().__init__(daemon=True)
        self.script, self.most, self.job, self.start_folder = script, most, job, start
        (job / DEMAND).unlink(missing_ok=True)  # of an earlier start
        self._ended = threading.Event()
        self._cancelled: set[str] = set()
        self._joined: set[str] = set()
        self._misses, self._not_before = 0, 0.0
        self._jobs: list[str] = []
        self._busy_at: dict[str, float] = {}

    def run(self) -> None:
        self._clear_up()
        while not self._ended.wait(_LOOK_SECONDS):
            try:
                self._look()
            except OSError as error:  # of the shared file system; the next look may find it well again
                print(f"[cluster] the nodes that join cannot be looked after: {error}", flush=True)

    def end(self) -> None:
        """Cancel every job and stop."""
        self._ended.set()
        if self.is_alive():
            self.join(_SECONDS * 2)
        if self._jobs:
            with contextlib.suppress(NotAnsweringError):
                commands.ask("scancel", *self._jobs)
        with contextlib.suppress(OSError):
            self._tell([])

    def _clear_up(self) -> None:
        """Cancel what a launcher that was killed has left: it could only join a cluster that has gone."""
        with contextlib.suppress(NotAnsweringError, OSError):
            left = json.loads((self.job / JOINERS).read_text())["jobs"]
            if left:
                commands.ask("scancel", *left)

    def _look(self) -> None:
        try:
            states = self._states()
        except NotAnsweringError:
            return  # nothing is known, so nothing is done
        try:
            told = json.loads((self.job / DEMAND).read_text())
        except FileNotFoundError:
            told = {"trials": 1, "per_node": 1, "busy": []}  # the command waits for a first node
        change = plan(nodes_wanted(told, self.most), states, self._idle(states, told["busy"]))
        try:
            if change.cancel:
                self._cancelled |= set(change.cancel)
                commands.ask("scancel", *change.cancel)
            for _ in range(change.submit if time.monotonic() >= self._not_before else 0):
                told_id = commands.ask(
                    "sbatch", "--parsable", f"--export=ALL,{START}={self.start_folder}", str(self.script)
                )
                self._jobs.append(told_id.strip().partition(";")[0])
        except NotAnsweringError as error:
            print(f"[cluster] no further node: {error}", flush=True)
        self._tell(self._jobs)

    def _states(self) -> dict[str, str]:
        """The live jobs; what is gone is forgotten. Raises NotAnsweringError."""
        if not self._jobs:
            return {}
        lines = commands.ask("squeue", "--me", "--noheader", "--format=%A %T").splitlines()
        found = dict(line.split() for line in lines)
        live = {job: found[job] for job in self._jobs if found.get(job) in _LIVE}
        for job in set(self._jobs) - live.keys() - self._cancelled:
            self._note_end(job)
        self._jobs = [job for job in self._jobs if job in live]
        return live

    def _note_end(self, job: str) -> None:
        """After jobs that have ended without joining, the next one is submitted later and later."""
        told = self._told(job)
        if job in self._joined or told.get("state") == "ready":
            self._misses = 0
            return
        self._misses += 1
        pause = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2**self._misses)
        self._not_before = time.monotonic() + pause
        why = told.get("reason") or f"see {self.job / JOINERS_OUTPUT}"
        print(f"[cluster] job {job} has ended without joining; the next in {pause:.0f} s: {why}", flush=True)

    def _told(self, job: str) -> dict[str, Any]:
        """What a job's node says of itself."""
        file = self.start_folder / f"node-{job}-0.json"
        told: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return told

    def _idle(self, states: Mapping[str, str], busy: list[str]) -> frozenset[str]:
        """The running jobs whose node has run nothing for a while."""
        now = time.monotonic()
        for job in states:
            told = self._told(job)
            if told.get("state") == "ready":
                self._joined.add(job)
            host = str(told.get("address", "")).rpartition(":")[0]
            if job not in self._busy_at or told.get("state") != "ready" or host in busy:
                self._busy_at[job] = now
        return frozenset(job for job in states if now - self._busy_at[job] > _IDLE_SECONDS)

    def _tell(self, jobs: list[str]) -> None:
        write_atomic(self.job / JOINERS, json.dumps({"jobs": jobs}))
