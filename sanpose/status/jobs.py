"""The jobs submitted from a folder of runs, with their states from Slurm, and what these states mean for the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.slurm import jobs
from cluster.slurm.jobs import JobRecord
from cluster.slurm.profiles import LOCAL
from cluster.slurm.queue import JobStatus, Queue, latest
from sanpose.runs.ledger import Broken
from sanpose.status.states import RunState, Snapshot, SweepState

STATES = ("running", "waiting", "unknown", "ended")


@dataclass(frozen=True)
class JobState:
    """A job's record and its status from Slurm, None for a job that was not submitted to a cluster. recorded: the state
    of its run or sweep by the ledger."""

    record: JobRecord
    status: JobStatus | None
    recorded: str

    @property
    def stage(self) -> str:
        """One of STATES."""
        return self.status.state.stage if self.status else "ended"

    @property
    def state(self) -> str:
        """The state in a word, for people."""
        if self.status:
            return self.status.state.word
        return "here" if self.record.cluster == LOCAL else "not submitted"


class Jobs:
    """Follows the jobs of a folder of runs. `add` asks Slurm at most once, and less often while nothing changes."""

    def __init__(self, runs: Path, sweep: str | None = None):
        self._runs, self._sweep = runs, sweep
        self._queue = Queue()

    def add(self, snapshot: Snapshot) -> tuple[Snapshot, tuple[JobState, ...]]:
        """The snapshot, with the states of runs and sweeps corrected by their jobs, and the jobs, newest first."""
        records, broken = jobs.read_all(self._runs)
        if self._sweep is not None:
            records = [r for r in records if (r.kind, r.target) == ("tune", self._sweep)]
        statuses = self._queue.statuses([job for r in records for job in r.ids])
        records = [replace(r, job_id=latest(r.ids, statuses)) if r.job_id else r for r in records]
        runs = {r.id: r for r in (*snapshot.loose, *(t.run for s in snapshot.sweeps for t in s.trials))}
        sweeps = {sweep.name: sweep for sweep in snapshot.sweeps}
        states = []
        for record in records:
            target = (runs if record.kind == "train" else sweeps).get(record.target)
            status = statuses[record.job_id] if record.job_id else None
            states.append(JobState(record, status, target.state if target else "nothing recorded yet"))
        unreadable = tuple(Broken(Path(str(error.where)), error.what) for error in broken)
        return _verified(replace(snapshot, broken=snapshot.broken + unreadable), states), tuple(states)


def _verified(snapshot: Snapshot, states: Sequence[JobState]) -> Snapshot:
    """The snapshot, with the job's state for runs and sweeps whose process is elsewhere or gone while their job waits
    or runs."""
    by_target = {(job.record.kind, job.record.target): job for job in states if job.status}
    sweeps = tuple(_sweep(sweep, by_target.get(("tune", sweep.name))) for sweep in snapshot.sweeps)
    loose = tuple(_run(run, by_target.get(("train", run.id))) for run in snapshot.loose)
    return replace(snapshot, sweeps=sweeps, loose=loose)


def _run(run: RunState, job: JobState | None) -> RunState:
    if job is None:
        return run
    if run.state in ("unverified", "stopped", "interrupted") and job.stage == "waiting":
        return replace(run, state="waiting", reason=_reason(job))
    if run.state == "unverified" and job.stage == "running":
        return replace(run, state="running", reason=_reason(job))
    if run.state == "unverified" and job.stage == "ended":
        return replace(run, state="stopped", reason=f"{_reason(job)}; `sanpose resubmit {run.id}` resumes the run")
    return run


def _sweep(sweep: SweepState, job: JobState | None) -> SweepState:
    if job is None or sweep.state not in ("unverified", "stopped"):
        return sweep
    if job.stage in ("waiting", "running") and (sweep.state == "unverified" or job.stage == "waiting"):
        return replace(sweep, state="running" if job.stage == "running" else "stopped", reason=_reason(job))
    if job.stage == "ended" and sweep.state == "unverified":
        return replace(
            sweep, state="stopped", reason=f"{_reason(job)}; `sanpose resubmit {sweep.name}` resumes the sweep"
        )
    return sweep


def _reason(job: JobState) -> str:
    assert job.status
    where = f" on {job.status.nodes}" if job.status.nodes and job.stage == "running" else ""
    return f"job {job.record.job_id} is {job.state}{where}" + (f": {job.status.reason}" if job.status.reason else "")


def plain(job: JobState) -> dict[str, object]:
    """A job's keys in `sanpose status --json`: `name`, `kind`, `target`, `job_id`, `cluster`, `state` (a word for
    people), `stage` ("running", "waiting", "unknown" or "ended"), `slurm` (Slurm's own word), `reason`, `nodes`,
    `elapsed`, `recorded` (the state of the run or sweep), `submitted`, `commit`, `dirty`, `output`."""
    record, status = job.record, job.status
    return {
        "name": record.name,
        "kind": record.kind,
        "target": record.target,
        "job_id": record.job_id,
        "cluster": record.cluster,
        "state": job.state,
        "stage": job.stage,
        "slurm": status.slurm if status else None,
        "reason": status.reason if status else None,
        "nodes": status.nodes if status else None,
        "elapsed": status.elapsed if status else None,
        "recorded": job.recorded,
        "submitted": record.submitted,
        "commit": record.code.get("commit"),
        "dirty": record.code.get("dirty"),
        "output": str(record.output),
    }
