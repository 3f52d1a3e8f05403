"""`python -m sanpose.tune`: runs a sweep, from its definition to the records of its runs.

The driver composes every trial's configuration, takes from the ledger what has been run already, lets Ray Tune place
the rest, and alone writes the records. Started again, it goes on where it was.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from cluster import phases
from sanpose import config as configuration
from sanpose import demand, keep, recording, stopping
from sanpose.config import Config
from sanpose.errors import StoppedError, UserError
from sanpose.headline import headline
from sanpose.recording import Busy, Open
from sanpose.sweep import Sweep, corners
from sanpose.train import REPOSITORY
from sweeps import definition, provenance, record
from sweeps.definition import BadSweep
from sweeps.ledger import BrokenRecord, Record
from sweeps.study import Asked, Study

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
    open: dict[str, Open] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    told: set[int] = field(default_factory=set)
    stopping: bool = False
    stopped: bool = False
    turn: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, asked: Asked) -> Begun:
        from sweeps.runner import Begun

        label = definition.label(asked.values) + (f", seed {asked.seed}" if self.sweep.seeds > 1 else "")
        name = ""
        try:
            config = configuration.located(self.sweep.config(asked.values, asked.seed))
            name = recording.run_id(config)
            return self._begin(asked, label, config, name)
        except UserError as error:  # a combination that a sampler has drawn, a broken record: the others may be sound
            trial = _trial(asked, label, name, str(error))
            record.append_trial(self.folder, trial)
            self._say("failed", f"[red]{escape(label)} cannot be run:[/] {escape(str(error))}")
            return Begun(name, outcome={"failure": str(error)})

    def _begin(self, asked: Asked, label: str, config: Config, name: str) -> Begun:
        from sweeps.runner import Begun

        if asked.number not in self.told:
            self.told.add(asked.number)
            record.append_trial(self.folder, _trial(asked, label, name))
        known = self._known(recording.recorded(Path(config.runs) / name))
        if known:
            self._say("taken", f"{escape(label)}: taken from run {name}, {escape(_outcome_text(known))}")
            return Begun(name, outcome=known)
        with self.turn:
            if self.stopped:
                raise KeyboardInterrupt
            try:
                run = recording.begin(config, REPOSITORY, name, "cuda" if self.cuda else "cpu")
            except Busy:
                return Begun(name)
            self.open[name] = run
            if len(self.told) == 1:
                phases.mark("first trial")
            if self.stopping:
                stopping.ask(run.folder)
        self.console.print(f"{escape(label)}: run [bold]{name}[/]")
        return Begun(name, {"config": run.config.plain(), "folder": str(run.folder), "cuda": self.cuda})

    def _known(self, found: Record | None) -> dict[str, Any] | None:
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
        keep.trim(opened.folder / "checkpoints", self.keep)
        self._say("done", f"run [bold]{run}[/] is done: {_outcome_text({'figures': figures})}")
        return figures

    def pruned(self, run: str) -> None:
        with self.turn:
            opened = self.open.pop(run)
            keep.trim(opened.folder / "checkpoints", ())
            opened.pruned()
        self._say("pruned", f"run [bold]{run}[/] is pruned")

    def stop(self) -> None:
        """Ask every open run to keep a checkpoint and stop; no other trial is begun."""
        with self.turn:
            self.stopping = True
            for run in self.open.values():
                stopping.ask(run.folder)

    def interrupted(self) -> None:
        """Record every open run as interrupted; none is begun after it."""
        with self.turn:
            self.stopped = True
            for run in self.open.values():
                run.interrupted()
            self.open.clear()

    def _say(self, kind: str, text: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.console.print(text)


def _trial(asked: Asked, label: str, run: str, reason: str | None = None) -> record.Trial:
    return record.Trial(asked.number, label, asked.values, asked.seed, run, reason, asked.repeats)


def _figures(found: Record) -> dict[str, float | None]:
    return {**headline(found.metrics), "macs": found.extra.get("macs")}


def _outcome_text(outcome: Mapping[str, Any]) -> str:
    if "failure" in outcome:
        return f"failed: {outcome['failure']}"
    if "pruned" in outcome:
        return "pruned"
    return ", ".join(f"{k} {v:.4g}" for k, v in outcome["figures"].items() if v is not None)


def tune(
    sweep: Sweep,
    console: Console,
    *,
    retry_failed: bool = False,
    kept: tuple[str, ...] = keep.KINDS,
    signal: stopping.Signal | None = None,
) -> dict[str, int]:
    """Run a sweep, or go on with it; how many runs were done, taken from the ledger, pruned, and failed.

    kept: the checkpoints that stay of a finished run (`keep.KINDS`); of a pruned one none do.
    Raises UserError when a sweep of this name was something else, or is being run by another process, and StoppedError
    after the signal, when the open runs have kept their checkpoints.
    """
    from sanpose import worker
    from sanpose.train import connected
    from sanpose.trial import trial

    root = sweep.runs.absolute()
    folder = record.folder_of(root, sweep.name)
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder):
        _claim(sweep, root)
        try:
            study = Study(folder, sweep.name, sweep.definition, sweep.seeds)
        except BadSweep as error:
            raise UserError(f"this sweep cannot be used: {error}") from error
        gone = study.repeat_missing(lambda run: not run or (root / run / "result.json").exists())
        if gone:
            console.print(f"{gone} trials are run again: their runs are no longer in {root}")
        if retry_failed:
            console.print(f"{study.retry_failed()} failed trials are tried again")
        first = sweep.config(corners(sweep.definition)[0], 0)
        with connected(first.train.workers, worker.trial_environment(first), dashboard=True) as dashboard:
            from sweeps import runner

            cuda = worker.device_type(first) == "cuda"
            driver = Driver(sweep, folder, console, cuda, retry_failed, kept)
            resources, places = worker.trial_resources(first, cuda)
            _write_head(sweep, root, _start(dashboard))
            try:
                with (
                    _shown(root, sweep.name, console),
                    demand.told(study.left, resources),
                    signal.passed_on(driver.stop) if signal else nullcontext(),
                ):
                    worker.interruptible(
                        lambda: runner.run(
                            study,
                            driver,
                            trial,
                            resources,
                            concurrent=demand.concurrent(places, resources),
                            reuse=first.train.workers == 1,
                            max_failures=demand.failures(first.train.max_failures),
                        )
                    )
                if driver.stopping:
                    raise StoppedError(f"sweep {sweep.name} has stopped")
            except BaseException:
                driver.interrupted()
                raise
            _write_head(sweep, root, None)
    return driver.counts


@contextmanager
def _shown(root: Path, name: str, console: Console) -> Iterator[None]:
    """In a terminal, what `sanpose status` says of the sweep, below the lines of what has ended."""
    if not console.is_terminal:
        yield
        return
    from rich.live import Live

    from sanpose.status.terminal import to_terminal
    from sanpose.status.watch import Watcher

    watcher = Watcher(root, name)
    with Live(
        get_renderable=lambda: to_terminal(watcher.refresh()), console=console, refresh_per_second=1, transient=True
    ):
        yield


def _claim(sweep: Sweep, root: Path) -> None:
    """Make the sweep's record. Raises UserError when there is one of another sweep, or of other data."""
    identity = recording.run_id(sweep.config(corners(sweep.definition)[0], 0))
    wanted = {**sweep.head(), "identity": identity}
    path = record.folder_of(root, sweep.name) / "sweep.json"
    if not path.is_file():
        record.write_head(root, sweep.name, {**wanted, "seeds": sweep.seeds, "created": provenance.now()})
        return
    try:
        head = record.read(root, sweep.name).head
    except BrokenRecord as error:
        raise UserError(f"the sweep's record cannot be read: {error.reason}", where=error.path) from error
    differing = [key for key in wanted if key != "trials" and head.get(key) != wanted[key]]
    fewer = [
        key for key, now in (("seeds", sweep.seeds), ("trials", wanted["trials"])) if (head.get(key) or 0) > (now or 0)
    ]
    if differing or fewer:
        what = (
            "the data, or what their configuration means" if differing == ["identity"] else ", ".join(differing + fewer)
        )
        raise UserError(
            f"there is a sweep of this name that differs in {what}",
            where=path.parent,
            expected="the same definition, overrides and data; seeds and search.trials may only grow",
            hint=f"name={sweep.name}-2",
        )


def _start(dashboard: str | None) -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": provenance.now(), "dashboard": dashboard}


def _write_head(sweep: Sweep, root: Path, start: dict[str, Any] | None) -> None:
    """Record who runs the sweep; without a start, that it has ended."""
    before = record.read(root, sweep.name).head
    told = {**before, **sweep.head(), "storage": sweep.definition.search.storage}
    told["seeds"] = max(sweep.seeds, before.get("seeds", 1))
    told["planned"] = None if told["trials"] is None else told["trials"] * told["seeds"]
    told["driver"] = start or before.get("driver")
    folder = record.write_head(root, sweep.name, {**told, "ended": None if start else provenance.now()})
    record.keep_storage(folder, sweep.definition.search.storage)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the sweep's folder, so that no second driver runs it. Raises UserError when one does."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("this sweep is being run by another process", where=folder) from error
        yield


if __name__ == "__main__":
    import sys

    from sanpose.cli import main

    sys.argv.insert(1, "tune")
    main()
