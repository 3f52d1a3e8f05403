"""The jobs that were submitted from a folder of runs, and what Slurm says of them; what that tells of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluster.slurm import jobs
from cluster.slurm.jobs import JobRecord
from cluster.slurm.profiles import LOCAL
from cluster.slurm.queue import JobStatus, Queue, latest
from sanpose.runs.ledger import Broken
from sanpose.status.states import RunState, Snapshot, SweepState

STATES = ("running", "waiting", "unknown", "ended")


@dataclass(frozen=True)
class JobState:
    """A job's record and what Slurm says of it, None of a job that no cluster has got. recorded: the state of its run
    or sweep by the ledger."""

    record: JobRecord
    told: JobStatus | None
    recorded: str

    @property
    def stage(self) -> str:
        """One of STATES."""
        return self.told.state.stage if self.told else "ended"

    @property
    def state(self) -> str:
        if self.told:
            return self.told.state.word
        return "here" if self.record.cluster == LOCAL else "not submitted"


class Jobs:
    """Follows the jobs of a folder of runs; `add` costs at most one question to Slurm, less often when all is quiet."""

    def __init__(self, runs: Path, sweep: str | None = None):
        self._runs, self._sweep = runs, sweep
        self._queue = Queue()

    def add(self, snapshot: Snapshot) -> tuple[Snapshot, tuple[JobState, ...]]:
        """The jobs, the last submitted first, and the snapshot with what they tell of its runs and sweeps."""
        records, broken = jobs.read_all(self._runs)
        if self._sweep is not None:
            records = [r for r in records if (r.kind, r.target) == ("tune", self._sweep)]
        told = self._queue.statuses([job for r in records for job in r.ids])
        records = [replace(r, job_id=latest(r.ids, told)) if r.job_id else r for r in records]
        runs = {r.id: r for r in (*snapshot.loose, *(t.run for s in snapshot.sweeps for t in s.trials))}
        sweeps = {sweep.name: sweep for sweep in snapshot.sweeps}
        states = []
        for record in records:
            known = (runs if record.kind == "train" else sweeps).get(record.target)
            found = told[record.job_id] if record.job_id else None
            states.append(JobState(record, found, known.state if known else "nothing recorded yet"))
        more = tuple(Broken(Path(str(error.where)), error.what) for error in broken)
        return _verified(replace(snapshot, broken=snapshot.broken + more), states), tuple(states)


def _verified(snapshot: Snapshot, states: Sequence[JobState]) -> Snapshot:
    """Runs and sweeps of which the record alone says too little: whose process is elsewhere, or gone, though a job of
    theirs waits or runs."""
    by_target = {(job.record.kind, job.record.target): job for job in states if job.told}
    sweeps = tuple(_sweep(sweep, by_target.get(("tune", sweep.name))) for sweep in snapshot.sweeps)
    loose = tuple(_run(run, by_target.get(("train", run.id))) for run in snapshot.loose)
    return replace(snapshot, sweeps=sweeps, loose=loose)


def _run(run: RunState, job: JobState | None) -> RunState:
    if job is None:
        return run
    if run.state in ("unverified", "stopped", "interrupted") and job.stage == "waiting":
        return replace(run, state="waiting", reason=_said(job))
    if run.state == "unverified" and job.stage == "running":
        return replace(run, state="running", reason=_said(job))
    if run.state == "unverified" and job.stage == "ended":
        return replace(run, state="stopped", reason=f"{_said(job)}; sanpose resubmit {run.id} continues it")
    return run


def _sweep(sweep: SweepState, job: JobState | None) -> SweepState:
    if job is None or sweep.state not in ("unverified", "stopped"):
        return sweep
    if job.stage in ("waiting", "running") and (sweep.state == "unverified" or job.stage == "waiting"):
        return replace(sweep, state="running" if job.stage == "running" else "stopped", reason=_said(job))
    if job.stage == "ended" and sweep.state == "unverified":
        return replace(sweep, state="stopped", reason=f"{_said(job)}; sanpose resubmit {sweep.name} continues it")
    return sweep


def _said(job: JobState) -> str:
    assert job.told
    where = f" on {job.told.nodes}" if job.told.nodes and job.stage == "running" else ""
    return f"job {job.record.job_id} is {job.state}{where}" + (f": {job.told.reason}" if job.told.reason else "")


def plain(job: JobState) -> dict[str, Any]:
    """A job's keys in `sanpose status --json`: `name`, `kind`, `target`, `job_id`, `cluster`, `state` (a word for
    people), `stage` ("running", "waiting", "unknown" or "ended"), `slurm` (its own word), `reason`, `nodes`, `elapsed`,
    `recorded` (the state of the run or sweep), `submitted`, `commit`, `dirty`, `output`."""
    record, told = job.record, job.told
    return {
        "name": record.name,
        "kind": record.kind,
        "target": record.target,
        "job_id": record.job_id,
        "cluster": record.cluster,
        "state": job.state,
        "stage": job.stage,
        "slurm": told.slurm if told else None,
        "reason": told.reason if told else None,
        "nodes": told.nodes if told else None,
        "elapsed": told.elapsed if told else None,
        "recorded": job.recorded,
        "submitted": record.submitted,
        "commit": record.code.get("commit"),
        "dirty": record.code.get("dirty"),
        "output": str(record.output),
    }
