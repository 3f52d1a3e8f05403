"""The states of sweeps and runs at one moment, as values and as plain JSON. Reads no file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sanpose.claims.record import ClaimsRecord
from sanpose.runs.ledger import Broken

STATES = (
    "running", "unverified", "stopped", "failed", "broken", "interrupted", "waiting", "pruned", "done",
)  # fmt: skip
SETTLED = ("done", "failed", "pruned", "broken")  # nothing resumes these by itself
JSON_SCHEMA = 1


@dataclass(frozen=True)
class RunState:
    """One run.

    `state`: one of STATES. "stopped": the record says running, but no process holds the run's lock; "unverified": the
    record says running on another machine, whose processes cannot be seen; "waiting": planned, without a record.
    `reason`: why the run is in this state. `epoch`: the epoch in training, from 1, or the last trained epoch;
    `progress`: the share of the optimiser steps done. `loss`: the mean of the epoch so far. `figures`: `headline` of
    the last evaluation (MPJPE mm, PCKh@0.5 %, AP 0..1); `measured`: "untrained", "evaluation" (a part of the samples)
    or "final". `wall_s`: training time of a run that has ended. `ends_at`, `changed`: seconds since 1970; the first is
    the worker's estimate. `problem`: which of the run's files cannot be read, and why.
    """

    id: str
    state: str
    reason: str | None = None
    host: str | None = None
    cell: str = ""
    preset: str = ""
    seed: int | None = None
    synthetic: bool = False
    started: str | None = None
    ended: str | None = None
    wall_s: float | None = None
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    progress: float | None = None
    loss: float | None = None
    figures: dict[str, float | None] = field(default_factory=dict)
    measured: str | None = None
    delta: float | None = None
    images_per_s: float | None = None
    ends_at: float | None = None
    changed: float | None = None
    problem: str | None = None

    @property
    def label(self) -> str:
        """A name for people, for a run that belongs to no sweep."""
        return ", ".join(part for part in (self.cell and f"cell {self.cell}", self.preset) if part) or "run"


@dataclass(frozen=True)
class TrialState:
    """A trial of a sweep, and the state of its run. `number`, `label`, `values`, `seed`: as in the sweep's record; a
    trial that has not started has no number, and its run has no id."""

    number: int | None
    label: str
    values: Mapping[str, object]
    seed: int
    run: RunState

    @property
    def point(self) -> str:
        """The label without the seed."""
        return self.label.removesuffix(f", seed {self.seed}")


@dataclass(frozen=True)
class SweepState:
    """`state`: "running", "ended", "stopped" (its driver is gone), "unverified" (its driver is on another machine) or
    "unknown" (no driver recorded); `reason`: the same in words. `dashboard`: the address of Ray's dashboard, None where
    none is recorded. `trials`: the started trials, then a grid's trials that have not started; `to_draw`: how many more
    a search will draw. `ends_at`: an estimate, seconds since 1970; None where nothing runs or no time is known.
    `claims`: with seeds=auto, what its driver has decided."""

    name: str
    title: str
    state: str
    reason: str
    dashboard: str | None
    trials: tuple[TrialState, ...]
    to_draw: int
    ends_at: float | None
    claims: ClaimsRecord | None = None

    @property
    def counts(self) -> dict[str, int]:
        """State -> number of trials; the trials that a search will draw count as waiting."""
        return counts((trial.run.state for trial in self.trials), self.to_draw)


@dataclass(frozen=True)
class Snapshot:
    """The state of a folder of runs at the moment `at`, seconds since 1970. `loose`: runs in no sweep. `broken`: the
    records that cannot be read."""

    at: float
    runs: Path
    sweeps: tuple[SweepState, ...]
    loose: tuple[RunState, ...]
    broken: tuple[Broken, ...]


def counts(states: Iterable[str], waiting: int = 0) -> dict[str, int]:
    """State -> how many are in it, in the order of STATES, without empty states. waiting: so many more that wait."""
    numbers = Counter(states)
    numbers["waiting"] += waiting
    return {state: numbers[state] for state in STATES if numbers[state]}


def plain(snapshot: Snapshot) -> dict[str, object]:
    """What `sanpose status --json` prints. Times are UTC in ISO 8601, durations seconds; an unknown value is null.

    Keys: `schema`, `at`, `runs` (the folder), `sweeps`, `loose` (runs in no sweep, each as `run_plain`), `broken` (each
    `path`, `reason`). A sweep: `name`, `title`, `state`, `reason`, `dashboard`, `counts`, `eta_s`, `claims` (null
    without seeds=auto; else as in the sweep's claims.json), `trials`. A trial: `number` (null before its start),
    `label`, `values`, `seed`, `run` (its `id` is empty before its start).
    """
    return {
        "schema": JSON_SCHEMA,
        "at": iso(snapshot.at),
        "runs": str(snapshot.runs),
        "sweeps": [_sweep_plain(sweep, snapshot.at) for sweep in snapshot.sweeps],
        "loose": [run_plain(run, snapshot.at) for run in snapshot.loose],
        "broken": [{"path": str(b.path), "reason": b.reason} for b in snapshot.broken],
    }


def run_plain(run: RunState, now: float) -> dict[str, object]:
    """A run's keys: `id`, `state`, `reason`, `host`, `cell`, `preset`, `seed`, `synthetic`, `started`, `ended`,
    `wall_s`, `epoch`, `epochs`, `step`, `steps`, `progress`, `loss`, `mpjpe_mm`, `pckh`, `ap`, `measured`, `delta`,
    `images_per_s`, `eta_s`, `changed`, `problem`: as in RunState."""
    keys = {k: getattr(run, k) for k in RunState.__dataclass_fields__ if k not in ("figures", "ends_at", "changed")}
    keys |= {name: run.figures.get(name) for name in ("mpjpe_mm", "pckh", "ap")}
    return keys | {"eta_s": seconds_left(run.ends_at, now), "changed": iso(run.changed)}


def seconds_left(ends_at: float | None, now: float) -> float | None:
    """Seconds until an end, 0 for one in the past."""
    return None if ends_at is None else max(0.0, round(ends_at - now, 1))


def iso(seconds: float | None) -> str | None:
    """Seconds since 1970 in ISO 8601, UTC; None for a time beyond the calendar."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # a file's time can lie beyond every calendar
        return None


def since_1970(text: object) -> float | None:
    """Seconds since 1970 of a time in ISO 8601, None for anything else."""
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def _sweep_plain(sweep: SweepState, now: float) -> dict[str, object]:
    return {
        "name": sweep.name,
        "title": sweep.title,
        "state": sweep.state,
        "reason": sweep.reason,
        "dashboard": sweep.dashboard,
        "counts": sweep.counts,
        "eta_s": seconds_left(sweep.ends_at, now),
        "claims": sweep.claims.plain() if sweep.claims else None,
        "trials": [
            {
                "number": trial.number,
                "label": trial.label,
                "values": trial.values,
                "seed": trial.seed,
                "run": run_plain(trial.run, now),
            }
            for trial in sweep.trials
        ],
    }
