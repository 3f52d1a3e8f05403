"""Nodes for a sweep as it needs them: joiner jobs, submitted while trials wait and cancelled when none wait.

Slurm may preempt joiners at any time. The command writes into its job's folder how many trials it could run
(`demand.json`). A thread of the launcher keeps as many joiner jobs, of one node each, as the demand needs and the
maximum allows.
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
from typing import TypedDict

from cluster import phases, printing
from cluster.files import write_atomic
from cluster.raycluster.start_folder import NodeState, read_state
from cluster.slurm import commands
from cluster.slurm.commands import NotAnsweringError
from cluster.slurm.sbatch import JOINERS_OUTPUT

DEMAND = "demand.json"
JOINERS = "joiners.json"  # the ids of the joiner jobs, for other programs and for cleaning up
START = "SANPOSE_START"  # in the environment of a joiner: the start folder that it joins
MAX_NODES = "SANPOSE_MAX_NODES"  # in the environment of the command: how many nodes may join
_LOOK_SECONDS, _END_SECONDS = 3.0, 60.0
_LIVE = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED")
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 600.0  # seconds, after a joiner that did not join
_IDLE_SECONDS = 20.0  # between two trials a node is idle for a moment


class Demand(TypedDict):
    """How many trials are left, how many a node can run side by side, and the addresses of nodes that run any."""

    trials: int
    per_node: int
    busy: list[str]


def most_nodes() -> int:
    """How many nodes may join this job's cluster; 0 where none may."""
    return int(os.environ.get(MAX_NODES, 0))


def demand(trials: int, per_node: int, busy: list[str]) -> None:
    """Write the demand (see `Demand`) into the job's folder. Outside a job nothing happens."""
    folder = os.environ.get(phases.FOLDER)
    if folder:
        content: Demand = {"trials": trials, "per_node": per_node, "busy": busy}
        write_atomic(Path(folder) / DEMAND, json.dumps(content))


def nodes_needed(demand: Demand, max_nodes: int) -> int:
    """How many nodes the demand can use."""
    return min(max_nodes, -(-demand["trials"] // max(1, demand["per_node"])))


@dataclass(frozen=True)
class Change:
    """How many jobs to submit, and which jobs to cancel."""

    submit: int
    cancel: tuple[str, ...]


def plan(needed: int, states: Mapping[str, str], idle: frozenset[str]) -> Change:
    """Submit the missing jobs. Of surplus jobs, cancel first those that wait, then those whose node is idle.

    states: job id -> PENDING, RUNNING, ..., of the live jobs.
    """
    if len(states) <= needed:
        return Change(needed - len(states), ())
    waiting = [job for job, state in states.items() if state == "PENDING"]
    free = [job for job, state in states.items() if state != "PENDING" and job in idle]
    return Change(0, tuple([*reversed(waiting), *free][: len(states) - needed]))


class Joiners(threading.Thread):
    """The thread that keeps joiner jobs: they run `script` and join the start in `start_folder`, at most `max_nodes` at
    once. job: the job's folder."""

    def __init__(self, script: Path, max_nodes: int, job: Path, start_folder: Path):
        super().__init__(daemon=True)
        self.script, self.max_nodes, self.job, self.start_folder = script, max_nodes, job, start_folder
        (job / DEMAND).unlink(missing_ok=True)  # of an earlier start
        self._ended = threading.Event()
        self._cancelled: set[str] = set()
        self._joined: set[str] = set()
        self._misses, self._not_before = 0, 0.0
        self._jobs: list[str] = []
        self._busy_at: dict[str, float] = {}

    def run(self) -> None:
        self._clean_up()
        while not self._ended.wait(_LOOK_SECONDS):
            try:
                self._look()
            except OSError as error:  # the shared file system may recover before the next look
                printing.say(f"the joiners cannot be managed: {error}")

    def end(self) -> None:
        """Cancel every job and stop."""
        self._ended.set()
        if self.is_alive():
            self.join(_END_SECONDS)
        if self._jobs:
            with contextlib.suppress(NotAnsweringError):
                commands.ask("scancel", *self._jobs)
        with contextlib.suppress(OSError):
            _write_jobs(self.job, [])

    def _clean_up(self) -> None:
        """Cancel the joiners that a killed launcher left behind: the cluster that they would join has ended."""
        with contextlib.suppress(NotAnsweringError, OSError):
            jobs = read_jobs(self.job)
            if jobs:
                commands.ask("scancel", *jobs)

    def _look(self) -> None:
        try:
            states = self._states()
        except NotAnsweringError:
            return  # the states are unknown, so nothing is changed
        demand = _read_demand(self.job)
        change = plan(nodes_needed(demand, self.max_nodes), states, self._idle(states, demand["busy"]))
        try:
            if change.cancel:
                self._cancelled |= set(change.cancel)
                commands.ask("scancel", *change.cancel)
            for _ in range(change.submit if time.monotonic() >= self._not_before else 0):
                reply = commands.ask(
                    "sbatch", "--parsable", f"--export=ALL,{START}={self.start_folder}", str(self.script)
                )
                self._jobs.append(reply.strip().partition(";")[0])
        except NotAnsweringError as error:
            printing.say(f"no joiner can be submitted: {error}")
        _write_jobs(self.job, self._jobs)

    def _states(self) -> dict[str, str]:
        """The states of the live jobs; other jobs are forgotten. Raises NotAnsweringError."""
        if not self._jobs:
            return {}
        lines = commands.ask("squeue", "--me", "--noheader", "--format=%A %T").splitlines()
        states = dict(line.split() for line in lines)
        live = {job: states[job] for job in self._jobs if states.get(job) in _LIVE}
        for job in set(self._jobs) - live.keys() - self._cancelled:
            self._note_end(job)
        self._jobs = [job for job in self._jobs if job in live]
        return live

    def _note_end(self, job: str) -> None:
        """After each job that ended without joining, wait longer before the next one is submitted."""
        state = self._state(job)
        if job in self._joined or (state and state["state"] == "ready"):
            self._misses = 0
            return
        self._misses += 1
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._misses)
        self._not_before = time.monotonic() + pause
        why = (state and state.get("reason")) or f"see {self.job / JOINERS_OUTPUT}"
        printing.say(f"joiner {job} ended without joining; the next one is submitted in {pause:.0f} s: {why}")

    def _state(self, job: str) -> NodeState | None:
        return read_state(self.start_folder, f"{job}-0")

    def _idle(self, states: Mapping[str, str], busy: list[str]) -> frozenset[str]:
        """The running jobs whose node has run nothing for a while."""
        now = time.monotonic()
        for job in states:
            state = self._state(job)
            ready = state is not None and state["state"] == "ready"
            if ready:
                self._joined.add(job)
            host = state.get("address", "").rpartition(":")[0] if state else ""
            if job not in self._busy_at or not ready or host in busy:
                self._busy_at[job] = now
        return frozenset(job for job in states if now - self._busy_at[job] > _IDLE_SECONDS)


def read_jobs(job: Path) -> list[str]:
    """The joiner jobs of the job in a folder. Raises FileNotFoundError where it never had any."""
    jobs: list[str] = json.loads((job / JOINERS).read_text())["jobs"]
    return jobs


def _write_jobs(job: Path, jobs: list[str]) -> None:
    write_atomic(job / JOINERS, json.dumps({"jobs": jobs}))


def _read_demand(job: Path) -> Demand:
    try:
        demand: Demand = json.loads((job / DEMAND).read_text())
    except FileNotFoundError:
        return {"trials": 1, "per_node": 1, "busy": []}  # the command waits for the first joiner
    return demand
