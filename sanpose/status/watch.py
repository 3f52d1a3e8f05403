"""All runs and sweeps in a folder, looked at again and again: only what has changed is read."""

from __future__ import annotations

import stat
import time
from collections.abc import Collection
from pathlib import Path

from sanpose.errors import UserError, nearest
from sanpose.runs import ledger
from sanpose.runs.ledger import Broken
from sanpose.status.alive import driver
from sanpose.status.eta import ends_at
from sanpose.status.follow import signature
from sanpose.status.planned import latest, to_begin, to_draw
from sanpose.status.run import RunFiles
from sanpose.status.states import RunState, Snapshot, SweepState, TrialState
from sweeps import record
from sweeps.files import BrokenRecord


def snapshot(runs: Path, sweep: str | None = None) -> Snapshot:
    """The state of every sweep and run below `runs`, or of one sweep alone. Raises UserError as `Watcher` does."""
    return Watcher(runs, sweep).refresh()


class Watcher:
    """Follows a folder of runs. `refresh` costs two looks at the file system per run, and reads what has changed; a run
    that is done is not read again.

    Raises UserError when there is no such folder, or no sweep of that name in it.
    """

    def __init__(self, runs: Path, sweep: str | None = None):
        if not runs.is_dir():
            raise UserError("there is no folder of runs", where=runs, hint="--runs DIR says where the runs lie")
        names = record.names(runs)
        if sweep is not None and sweep not in names:
            known = ", ".join(names) or "none"
            raise UserError(
                f"there is no sweep '{sweep}'", where=runs, expected=f"one of: {known}", hint=nearest(sweep, names)
            )
        self.runs, self.sweep = runs, sweep
        self._runs: dict[str, RunFiles] = {}
        self._sweeps: dict[str, _SweepFiles] = {}

    def refresh(self) -> Snapshot:
        """The state of everything now."""
        now = time.time()
        sweeps, broken = self._read_sweeps()
        wanted = [trial.run for sweep in sweeps for trial in sweep.trials if trial.run]
        there = set(wanted) if self.sweep is not None else ledger.folders(self.runs).union(wanted)
        states = self._refresh_runs(there)
        told = tuple(_sweep_state(sweep, states) for sweep in sweeps)
        planned = set(wanted)
        loose = tuple(states[run] for run in sorted(states) if run not in planned and self.sweep is None)
        broken += [Broken(self.runs / run.id, run.problem) for _, run in sorted(states.items()) if run.problem]
        return Snapshot(now, self.runs, told, loose, tuple(broken))

    def _refresh_runs(self, names: set[str]) -> dict[str, RunState]:
        states = {}
        for name in names:
            files = self._runs.get(name)
            if files is None:
                if not _may_be_folder(self.runs / name):
                    states[name] = RunState(name, "waiting")
                    continue
                files = self._runs[name] = RunFiles(self.runs / name)
            states[name] = files.refresh()
        self._runs = {name: files for name, files in self._runs.items() if name in names}
        return states

    def _read_sweeps(self) -> tuple[list[record.SweepRecord], list[Broken]]:
        sweeps, broken = [], []
        for name in record.names(self.runs) if self.sweep is None else [self.sweep]:
            try:
                sweeps.append(self._sweeps.setdefault(name, _SweepFiles(self.runs, name)).refresh())
            except BrokenRecord as error:
                broken.append(Broken(error.path, error.reason))
            except OSError as error:
                told = Path(error.filename or record.folder_of(self.runs, name))
                broken.append(Broken(told, f"cannot be read: {error.strerror}"))
        return sweeps, broken


def _may_be_folder(path: Path) -> bool:
    """Whether there is a folder, or something that may not be looked at: whoever reads it says what is wrong."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name that no file can have
        return False
    except OSError:
        return True


class _SweepFiles:
    """One sweep's files, read again when they have changed."""

    def __init__(self, runs: Path, name: str):
        self.runs, self.name = runs, name
        self.folder = record.folder_of(runs, name)
        self._seen: object = None
        self._sweep: record.SweepRecord | None = None

    def refresh(self) -> record.SweepRecord:
        found = tuple(signature(self.folder / name) for name in ("sweep.json", "trials.jsonl"))
        if self._sweep is None or found != self._seen:
            sweep = record.read(self.runs, self.name)
            outside = next((t.run for t in sweep.trials if t.run != Path(t.run).name), None)
            if outside is not None:
                raise BrokenRecord(self.folder / "trials.jsonl", f"'{outside}' is not the id of a run")
            self._sweep, self._seen = sweep, found
        return self._sweep


def _run_of(trial: record.TrialRecord, states: dict[str, RunState]) -> RunState:
    """The state of a trial's run; of one that could not be begun, that it failed."""
    found = states.get(trial.run)
    if found is None or (found.state == "waiting" and trial.reason):
        return RunState(trial.run, "failed", trial.reason or "it names no run", seed=trial.seed)
    return found


def _distinct(trials: Collection[TrialState]) -> list[RunState]:
    """The runs of trials, one that several stand for once: it is trained once."""
    named = {trial.run.id: trial.run for trial in trials if trial.run.id}
    return [*named.values(), *(trial.run for trial in trials if not trial.run.id)]


def _sweep_state(sweep: record.SweepRecord, states: dict[str, RunState]) -> SweepState:
    counted = latest(sweep.head, sweep.trials)
    begun = tuple(TrialState(t.number, t.label, t.values, t.seed, _run_of(t, states)) for t in counted)
    trials, more = begun + to_begin(sweep.head, sweep.trials), to_draw(sweep.head, len(begun))
    state, reason = driver(sweep.head)
    told = sweep.head.get("driver")
    address = told.get("dashboard") if isinstance(told, dict) else None
    # Pages show it as a link, which must not be able to run a script.
    dashboard = address if isinstance(address, str) and address.startswith(("http://", "https://")) else None
    ends = ends_at(_distinct(trials), more) if state != "ended" else None
    return SweepState(
        sweep.name, str(sweep.head.get("title") or sweep.name), state, reason, dashboard, trials, more, ends
    )
