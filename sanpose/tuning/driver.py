"""The driver of a sweep: it composes the configuration of every trial, takes finished runs from the ledger, and is the
only writer of the records."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from rich.console import Console
from rich.markup import escape

from cluster import phases
from sanpose import disk
from sanpose.config.compose import REPOSITORY
from sanpose.errors import UserError
from sanpose.runs import active, checkpoints, control, lookup
from sanpose.runs.active import ActiveRun
from sanpose.runs.identity import Identified, identify
from sanpose.runs.ledger import RunRecord
from sanpose.runs.locks import Busy, only_worker
from sanpose.runs.paths import RunPaths
from sanpose.runs.result import TrainingResult
from sanpose.tuning.figures import figures_of
from sanpose.tuning.sweep import Sweep
from sanpose.tuning.trial import TrialPayload
from sweeps import definition, record
from sweeps.outcomes import Done, Failed, Figures, Outcome, Pruned, Stopped
from sweeps.study import TrialSpec

if TYPE_CHECKING:
    from sweeps.runner import Start


@dataclass
class Driver:
    """The host of a sweep's trials: it names, starts and records their runs, and prints lines on the console.

    keep: the kinds of checkpoints to keep. open: the runs in progress, by id. counts: the number of outcomes by kind.
    """

    sweep: Sweep
    folder: Path
    console: Console
    cuda: bool
    retry_failed: bool
    keep: tuple[str, ...]
    open: dict[str, ActiveRun] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    stopping: bool = False
    _recorded_trials: set[int] = field(default_factory=set)
    _started: dict[str, str] = field(init=False)  # run id -> when this sweep last started the run
    _stopped: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        trials = record.read(self.sweep.runs.absolute(), self.sweep.name).trials
        self._started = {trial.run: trial.started for trial in trials if trial.started}

    def begin(self, trial: TrialSpec) -> Start:
        from sweeps.runner import Recorded

        label = definition.label(trial.values) + (f", seed {trial.seed}" if self.sweep.seeds > 1 or trial.seed else "")
        run = ""
        try:
            identified = identify(self.sweep.config(trial.values, trial.seed))
            run = identified.id
            return self._begin(trial, label, identified)
        except disk.NotWritable:
            raise
        except UserError as error:  # an impossible point, or a broken record: other trials may run
            self._append(_trial_record(trial, label, run, str(error)))
            self._say("failed", f"[red]{escape(label)} cannot be run:[/] {escape(str(error))}")
            return Recorded(run, Failed(str(error)))

    def _begin(self, trial: TrialSpec, label: str, identified: Identified) -> Start:
        from sweeps.runner import InUse, Recorded, ToTrain

        run, paths = identified.id, identified.paths
        if trial.number not in self._recorded_trials:
            self._recorded_trials.add(trial.number)
            self._record_trial(trial, label, run)
        before = lookup.recorded(paths.folder)
        outcome = self._recorded_outcome(before)
        if outcome:
            # An earlier driver may have died before it trimmed the checkpoints.
            if before and before.status == "done" and self._started_here(before):
                self._trim(paths, self.keep)
            kind = "failed" if isinstance(outcome, Failed) else "taken"
            self._say(kind, f"{escape(label)}: taken from run {run}, {escape(_outcome_text(outcome))}")
            return Recorded(run, outcome)
        with self._lock:
            if self._stopped:
                raise KeyboardInterrupt
            try:
                opened = active.begin(identified, REPOSITORY, "cuda" if self.cuda else "cpu")
            except Busy:
                return InUse(run)
            self.open[run] = opened
            self._started[run] = opened.started
            self._record_trial(trial, label, run)
            if len(self._recorded_trials) == 1:
                phases.mark("first trial")
            if self.stopping:
                control.request_stop(paths.folder)
        self.console.print(f"{escape(label)}: run [bold]{run}[/]")
        return ToTrain(run, TrialPayload(config=opened.config.plain(), folder=str(paths.folder), cuda=self.cuda))

    def _record_trial(self, trial: TrialSpec, label: str, run: str) -> None:
        self._append(replace(_trial_record(trial, label, run), started=self._started.get(run)))

    def _append(self, trial: record.TrialRecord) -> None:
        disk.patiently(self.folder, lambda: record.append_trial(self.folder, trial))

    def _started_here(self, run: RunRecord) -> bool:
        """Whether this sweep was the last to start a run. A sweep must not touch the checkpoints of other runs."""
        return run.started is not None and self._started.get(run.id) == run.started

    def _recorded_outcome(self, before: RunRecord | None) -> Done[Figures] | Failed | Pruned | None:
        """The outcome, for the study, of a run that needs no training; else None. A run that another sweep pruned is
        trained unless this sweep prunes too."""
        match before.status if before else "":
            case "done":
                return Done(figures_of(before)) if before else None
            case "failed" if before and not self.retry_failed:
                return Failed(before.reason or "unknown")
            case "pruned" if self.sweep.definition.search.pruner != "none":
                return Pruned()
        return None

    def end(self, run: str, outcome: Outcome[object]) -> Outcome[Figures]:
        with self._lock:
            opened = self.open.pop(run)
            match outcome:
                case Stopped(checkpoint):
                    opened.interrupted()
                    self._say("stopped", f"run [bold]{run}[/] has stopped; checkpoint {checkpoint} is kept")
                    return outcome
                case Failed(reason):
                    opened.failed(reason)
                    self._say("failed", f"[red]run {run} failed:[/] {escape(reason)}")
                    return outcome
                case Pruned():
                    opened.pruned()
                    return outcome
                case Done(result):
                    done = Done(figures_of(opened.done(TrainingResult.from_plain(result))))
                case _:
                    assert_never(outcome)
        self._trim(opened.paths, self.keep)
        self._say("done", f"run [bold]{run}[/] is done: {_outcome_text(done)}")
        return done

    def give_up(self, run: str) -> None:
        folder = self.open[run].paths.folder
        disk.patiently(folder, lambda: control.request_stop(folder))

    def pruned(self, run: str) -> None:
        self._trim(self.open[run].paths, ())
        with self._lock:
            opened = self.open.pop(run, None)
            if opened is None:  # already recorded as interrupted
                return
            opened.pruned()
        self._say("pruned", f"run [bold]{run}[/] is pruned")

    def restarted(self, run: str, reason: str) -> None:
        self.console.print(f"[yellow]run {run} is restarted:[/] {escape(reason)}")

    def trim_pruned(self) -> None:
        """Remove the checkpoints of pruned runs again: an orphaned process may have saved another one."""
        if self.sweep.definition.search.pruner == "none":
            return
        for run in self._started:
            paths = RunPaths(self.sweep.runs.absolute() / run)
            # If a record cannot be read, or a worker does not stop, the next start tries again.
            with suppress(UserError):
                if checkpoints.exist(paths.checkpoints) and self._is_pruned(paths):
                    with only_worker(paths):
                        if self._is_pruned(paths):  # another process may have started the run since
                            self._trim(paths, ())

    def _is_pruned(self, paths: RunPaths) -> bool:
        run = lookup.recorded(paths.folder)
        return bool(run and run.status == "pruned" and self._started_here(run))

    def stop(self) -> None:
        """Ask every open run to save a checkpoint and stop. Start no other trial."""
        with self._lock:
            self.stopping = True
            for run in self.open.values():
                control.request_stop(run.paths.folder)

    def interrupted(self) -> None:
        """Record every open run as interrupted. Start no run after that."""
        with self._lock:
            self._stopped = True
            for run in self.open.values():
                run.interrupted()
            self.open.clear()

    def _trim(self, paths: RunPaths, keep: tuple[str, ...]) -> None:
        disk.patiently(paths.folder, lambda: checkpoints.trim(paths.checkpoints, keep))

    def _say(self, kind: str, text: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.console.print(text)


def _trial_record(trial: TrialSpec, label: str, run: str, reason: str | None = None) -> record.TrialRecord:
    return record.TrialRecord(trial.number, label, trial.values, trial.seed, run, reason, repeats=trial.repeats)


def _outcome_text(outcome: Done[Figures] | Failed | Pruned) -> str:
    match outcome:
        case Done(figures):
            return ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if value is not None)
        case Failed(reason):
            return f"failed: {reason}"
        case Pruned():
            return "pruned"
