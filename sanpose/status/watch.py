"""All runs and sweeps in a folder; each refresh reads the changed files only."""

from __future__ import annotations

import stat
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from sanpose.claims import record as claims_record
from sanpose.claims.record import ClaimsRecord
from sanpose.errors import UserError, nearest
from sanpose.runs import ledger
from sanpose.runs.ledger import Broken
from sanpose.status.alive import driver_state, recorded_driver
from sanpose.status.eta import ends_at
from sanpose.status.follow import signature
from sanpose.status.planned import latest, to_begin, to_draw
from sanpose.status.run import RunFiles
from sanpose.status.states import RunState, Snapshot, SweepState, TrialState
from sweeps import record
from sweeps.files import BrokenRecord


def snapshot(runs: Path, sweep: str | None = None) -> Snapshot:
    """The state of every sweep and run below `runs`, or of one sweep. Raises UserError as `Watcher` does."""
    return Watcher(runs, sweep).refresh()


class Watcher:
    """Follows a folder of runs. `refresh` examines two files per run and reads those that have changed; it does not
    read a finished run again.

    Raises UserError when there is no such folder, or no sweep of that name in it.
    """

    def __init__(self, runs: Path, sweep: str | None = None):
        if not runs.is_dir():
            raise UserError("there is no folder of runs", where=runs, hint="name the folder: --runs DIR")
        names = record.names(runs)
        if sweep is not None and sweep not in names:
            expected = f"one of: {', '.join(names) or 'none'}"
            raise UserError(f"there is no sweep '{sweep}'", where=runs, expected=expected, hint=nearest(sweep, names))
        self.runs, self.sweep = runs, sweep
        self._runs: dict[str, RunFiles] = {}
        self._sweeps: dict[str, _SweepFiles] = {}

    def refresh(self) -> Snapshot:
        """The state of everything now."""
        now = time.time()
        sweeps, broken = self._read_sweeps()
        in_sweeps = {trial.run for sweep in sweeps for trial in sweep.trials if trial.run}
        states = self._refresh_runs(in_sweeps if self.sweep is not None else ledger.folders(self.runs) | in_sweeps)
        loose = tuple(states[run] for run in sorted(states) if run not in in_sweeps and self.sweep is None)
        broken += [Broken(self.runs / run.id, run.problem) for _, run in sorted(states.items()) if run.problem]
        sweep_states = tuple(_sweep_state(sweep, states, self._sweeps[sweep.name].claims()) for sweep in sweeps)
        return Snapshot(now, self.runs, sweep_states, loose, tuple(broken))

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
                path = Path(error.filename or record.folder_of(self.runs, name))
                broken.append(Broken(path, f"cannot be read: {error.strerror}"))
        return sweeps, broken


def _may_be_folder(path: Path) -> bool:
    """Whether there is a folder, or something that cannot be examined: reading it later raises the error."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name that no file can have
        return False
    except OSError:
        return True


class _SweepFiles:
    """One sweep's files; they are read again when they have changed."""

    def __init__(self, runs: Path, name: str):
        self.runs, self.name = runs, name
        self.folder = record.folder_of(runs, name)
        self._files: object = None  # the files when the record was last read
        self._sweep: record.SweepRecord | None = None
        self._claims_file: object = None
        self._claims: ClaimsRecord | None = None

    def claims(self) -> ClaimsRecord | None:
        """What the driver of a sweep with seeds=auto has decided; None without."""
        file = signature(self.folder / claims_record.NAME)
        if file != self._claims_file:
            self._claims_file, self._claims = file, claims_record.read(self.folder)
        return self._claims

    def refresh(self) -> record.SweepRecord:
        files = tuple(signature(self.folder / name) for name in ("sweep.json", "trials.jsonl"))
        if self._sweep is None or files != self._files:
            sweep = record.read(self.runs, self.name)
            outside = next((t.run for t in sweep.trials if t.run != Path(t.run).name), None)
            if outside is not None:
                raise BrokenRecord(self.folder / "trials.jsonl", f"'{outside}' is not the id of a run")
            self._sweep, self._files = sweep, files
        return self._sweep


def _run_of(trial: record.TrialRecord, states: Mapping[str, RunState]) -> RunState:
    """The state of a trial's run; "failed" for a run that could not be started."""
    state = states.get(trial.run)
    if state is None or (state.state == "waiting" and trial.reason):
        return RunState(trial.run, "failed", trial.reason or "the trial names no run", seed=trial.seed)
    return state


def _distinct(trials: Collection[TrialState]) -> list[RunState]:
    """The runs of trials, a shared run once: it is trained once."""
    named = {trial.run.id: trial.run for trial in trials if trial.run.id}
    return [*named.values(), *(trial.run for trial in trials if not trial.run.id)]


def _sweep_state(sweep: record.SweepRecord, states: Mapping[str, RunState], claims: ClaimsRecord | None) -> SweepState:
    counted = latest(sweep.head, sweep.trials)
    started = tuple(TrialState(t.number, t.label, t.values, t.seed, _run_of(t, states)) for t in counted)
    trials, missing = started + to_begin(sweep.head, sweep.trials), to_draw(sweep.head, len(started))
    state, reason = driver_state(sweep.head)
    address = recorded_driver(sweep.head).dashboard or ""
    # Pages show the address as a link, which must not be able to run a script.
    dashboard = address if address.startswith(("http://", "https://")) else None
    ends = ends_at(_distinct(trials), missing) if state != "ended" else None
    title = str(sweep.head.get("title") or sweep.name)
    return SweepState(sweep.name, title, state, reason, dashboard, trials, missing, ends, claims)
