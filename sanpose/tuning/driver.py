"""The driver of a sweep: it composes every trial's configuration, takes from the ledger what has been run already, and
alone writes the records."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from cluster import phases
from sanpose import disk
from sanpose.config.compose import REPOSITORY, located
from sanpose.config.schema import Config
from sanpose.errors import UserError
from sanpose.metrics.headline import headline
from sanpose.runs import active, checkpoints, control, identity, lookup
from sanpose.runs.active import ActiveRun
from sanpose.runs.ledger import RunRecord
from sanpose.runs.locks import Busy
from sanpose.tuning.sweep import Sweep
from sweeps import definition, record
from sweeps.study import TrialSpec

if TYPE_CHECKING:
    from sweeps.runner import Begun


@dataclass
class Driver:
    """The host of a sweep's trials: it names, begins and ends their runs, and says so on the console."""

    sweep: Sweep
    folder: Path
    console: Console
    cuda: bool
    retry_failed: bool
    keep: tuple[str, ...]
    open: dict[str, ActiveRun] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    told: set[int] = field(default_factory=set)
    begun: dict[str, str] = field(init=False)  # run -> when this sweep last began it
    control: bool = False
    stopped: bool = False
    turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        trials = record.read(self.sweep.runs.absolute(), self.sweep.name).trials
        self.begun = {trial.run: trial.started for trial in trials if trial.started}

    def begin(self, asked: TrialSpec) -> Begun:
        from sweeps.runner import Begun

        label = definition.label(asked.values) + (f", seed {asked.seed}" if self.sweep.seeds > 1 else "")
        name = ""
        try:
            config = located(self.sweep.config(asked.values, asked.seed))
            name = identity.run_id(config)
            return self._begin(asked, label, config, name)
        except disk.NotWritable:
            raise
        except UserError as error:  # a combination that a sampler has drawn, a broken record: the others may be sound
            trial = _trial(asked, label, name, str(error))
            self._append(trial)
            self._say("failed", f"[red]{escape(label)} cannot be run:[/] {escape(str(error))}")
            return Begun(name, outcome={"failure": str(error)})

    def _begin(self, asked: TrialSpec, label: str, config: Config, name: str) -> Begun:
        from sweeps.runner import Begun

        if asked.number not in self.told:
            self.told.add(asked.number)
            self._note(asked, label, name)
        found = lookup.recorded(Path(config.runs) / name)
        known = self._known(found)
        if known:
            if found and found.status == "done" and self._began(found):  # its driver may have died before it trimmed
                self._trim(found.folder, self.keep)
            kind = "failed" if "failure" in known else "taken"
            self._say(kind, f"{escape(label)}: taken from run {name}, {escape(_outcome_text(known))}")
            return Begun(name, outcome=known)
        with self.turn:
            if self.stopped:
                raise KeyboardInterrupt
            try:
                run = active.begin(config, REPOSITORY, name, "cuda" if self.cuda else "cpu")
            except Busy:
                return Begun(name)
            self.open[name] = run
            self.begun[name] = run.common["started"]
            self._note(asked, label, name)
            if len(self.told) == 1:
                phases.mark("first trial")
            if self.stopping:
                control.ask(run.folder)
        self.console.print(f"{escape(label)}: run [bold]{name}[/]")
        return Begun(name, {"config": run.config.plain(), "folder": str(run.folder), "cuda": self.cuda})

    def _note(self, asked: TrialSpec, label: str, run: str) -> None:
        self._append(replace(_trial(asked, label, run), started=self.begun.get(run)))

    def _append(self, trial: record.TrialRecord) -> None:
        disk.patiently(self.folder, lambda: record.append_trial(self.folder, trial))

    def _began(self, found: RunRecord) -> bool:
        """Whether this sweep was the last to begin a run: the checkpoints of any other run are not its own."""
        return found.started is not None and self.begun.get(found.id) == found.started

    def _known(self, found: RunRecord | None) -> dict[str, Any] | None:
        """What the study is told of a run that needs no training, or None. A run that another sweep gave up is trained,
        unless this one prunes too."""
        if found and found.status == "done":
            return {"figures": _figures(found)}
        if found and found.status == "failed" and not self.retry_failed:
            return {"failure": found.reason}
        if found and found.status == "pruned" and self.sweep.definition.search.pruner != "none":
            return {"pruned": True}
        return None

    def end(self, run: str, outcome: Mapping[str, Any]) -> dict[str, float | None]:
        with self.turn:
            opened = self.open.pop(run)
            if "stopped" in outcome:
                opened.interrupted()
                self._say("stopped", f"run [bold]{run}[/] has stopped, its checkpoint {outcome['stopped']} is kept")
                return {}
            if "failure" in outcome:
                opened.failed(str(outcome["failure"]))
                self._say("failed", f"[red]run {run} failed:[/] {escape(str(outcome['failure']))}")
                return {}
            figures = _figures(opened.done(outcome))
        self._trim(opened.folder, self.keep)
        self._say("done", f"run [bold]{run}[/] is done: {_outcome_text({'figures': figures})}")
        return figures

    def give_up(self, run: str) -> None:
        folder = self.open[run].folder
        disk.patiently(folder, lambda: control.ask(folder))

    def pruned(self, run: str) -> None:
        self._trim(self.open[run].folder, ())
        with self.turn:
            opened = self.open.pop(run, None)
            if opened is None:  # recorded as interrupted meanwhile
                return
            opened.pruned()
        self._say("pruned", f"run [bold]{run}[/] is pruned")

    def restarted(self, run: str, reason: str) -> None:
        self.console.print(f"[yellow]run {run} is started again:[/] {escape(reason)}")

    def trim_pruned(self) -> None:
        """Trim the pruned runs once more: a process that nobody directs any more may have saved one since."""
        from sanpose.runs import locks

        if self.sweep.definition.search.pruner == "none":
            return
        for run in self.begun:
            folder = self.sweep.runs.absolute() / run
            # Where a record cannot be read, or a worker does not end, the next start tries again.
            with suppress(UserError):
                if checkpoints.any_left(folder / "checkpoints") and self._is_pruned(folder):
                    with locks.sole(folder):
                        if self._is_pruned(folder):  # still: nobody else has begun it
                            self._trim(folder, ())

    def _is_pruned(self, folder: Path) -> bool:
        found = lookup.recorded(folder)
        return bool(found and found.status == "pruned" and self._began(found))

    def stop(self) -> None:
        """Ask every open run to keep a checkpoint and stop; no other trial is begun."""
        with self.turn:
            self.stopping = True
            for run in self.open.values():
                control.ask(run.folder)

    def interrupted(self) -> None:
        """Record every open run as interrupted; none is begun after it."""
        with self.turn:
            self.stopped = True
            for run in self.open.values():
                run.interrupted()
            self.open.clear()

    def _trim(self, folder: Path, kept: tuple[str, ...]) -> None:
        disk.patiently(folder, lambda: checkpoints.trim(folder / "checkpoints", kept))

    def _say(self, kind: str, text: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.console.print(text)


def _trial(asked: TrialSpec, label: str, run: str, reason: str | None = None) -> record.TrialRecord:
    return record.TrialRecord(asked.number, label, asked.values, asked.seed, run, reason, repeats=asked.repeats)


def _figures(found: RunRecord) -> dict[str, float | None]:
    return {**headline(found.metrics), "macs": found.extra.get("macs")}


def _outcome_text(outcome: Mapping[str, Any]) -> str:
    if "failure" in outcome:
        return f"failed: {outcome['failure']}"
    if "pruned" in outcome:
        return "pruned"
    return ", ".join(f"{k} {v:.4g}" for k, v in outcome["figures"].items() if v is not None)
