"""The state of one run, from its record, its journal and its lock; a file is read again only when it has changed."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sanpose.metrics.headline import headline
from sanpose.runs import facts, ledger
from sanpose.runs.facts import real, whole
from sanpose.runs.paths import RunPaths
from sanpose.status.alive import is_locked
from sanpose.status.follow import Signature, signature
from sanpose.status.states import SETTLED, RunState, since_1970
from sanpose.status.tail import JournalTail
from sweeps.files import BrokenRecord, read_json

GONE = "its process is gone; run the same command again to resume"


class RunFiles:
    """The files of one run's folder; `refresh` gives its state, the same object as before when nothing changed."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._tail = JournalTail(RunPaths(folder).journal)
        self._record_files: tuple[Signature | None, ...] | None = None  # the files when the record was last read
        self._record = RunState(folder.name, "waiting")
        self._state: RunState | None = None
        self._unlocked_files: object = None  # the files when no process held the lock

    def refresh(self) -> RunState:
        """The run's state now; the state also says which of the run's files cannot be read."""
        try:
            return self._refresh()
        except OSError as error:
            self._record_files = None  # the next refresh reads the record again
            reason = f"{Path(error.filename or self.folder).name}: cannot be read: {error.strerror}"
            return self._settle(RunState(self.folder.name, "broken", reason, problem=reason))

    def _refresh(self) -> RunState:
        changed = self._refresh_record()
        if self._state is not None and not changed and self._record.state in (*SETTLED, "interrupted"):
            return self._state
        try:
            changed |= self._tail.refresh()
        except OSError as error:
            return self._settle(replace(self._record, problem=f"{self._tail.path}: {error.strerror}"))
        state = self._verified() if self._record.state == "running" else self._record
        if state is None:  # the run ended while its files were read
            return self._refresh()
        if self._state is None or changed or state.state != self._state.state:
            self._settle(_with_journal(state, self._tail))
        assert self._state is not None
        return self._state

    def _settle(self, state: RunState) -> RunState:
        if state != self._state:
            self._state = state
        assert self._state is not None
        return self._state

    def _refresh_record(self) -> bool:
        """Read the record again if its files have changed. Returns whether they have."""
        result = signature(RunPaths(self.folder).result)
        files = (result, None if result else signature(RunPaths(self.folder).config))
        broken = self._record.state == "broken"
        now = (*files, signature(self._tail.path) if broken else None)
        if now == self._record_files:
            return False
        self._record = _record(self.folder)
        if self._record.state == "broken":
            now = (*files, signature(self._tail.path))
        self._record_files = now
        return True

    def _verified(self) -> RunState | None:
        """The state of a run whose record says running; None when the record has changed meanwhile.

        A lock that was free is not tried again until the run's files change: a process that is about to take the lock
        must not find it taken by this one.
        """
        files = (self._record_files, self._tail.signature)
        locked = False if files == self._unlocked_files else is_locked(self.folder)
        if locked:
            return self._record
        if locked is False:
            if self._record_files is None or signature(RunPaths(self.folder).result) != self._record_files[0]:
                return None
            self._unlocked_files = files
        host = self._record.host
        if host not in (None, socket.gethostname()):
            return replace(self._record, state="unverified", reason=f"running on {host}, unverified")
        if locked is None:
            return replace(self._record, state="unverified", reason="running, unverified: its lock cannot be read")
        return replace(self._record, state="stopped", reason=GONE)


def _record(folder: Path) -> RunState:
    """The state by the record, without the journal."""
    try:
        record = ledger.read(folder)
        figures = _finite(headline(record.metrics))
        host = _host(folder) if record.status == "running" else None
    except BrokenRecord as error:
        reason = f"{error.path.name}: {error.reason}"
        return RunState(folder.name, "broken", reason, problem=reason, changed=_changed(folder))
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"result.json: the figures are not as expected: {error!r}"
        return RunState(folder.name, "broken", reason, problem=reason, changed=_changed(folder))
    bill, epochs, done = facts.bill(record), facts.epochs(record), record.status == "done"
    return RunState(
        id=folder.name,
        state=record.status,
        reason=None if record.reason is None else str(record.reason),
        host=host,
        cell=facts.cell(record),
        preset=facts.preset(record.config),
        seed=facts.seed(record),
        synthetic=facts.is_synthetic(record),
        started=record.started,
        ended=record.ended,
        wall_s=_elapsed(record) if bill.wall_s is None else bill.wall_s,
        epoch=epochs if done else None,
        epochs=epochs,
        progress=1.0 if done else None,
        figures=figures,
        measured="final" if figures else None,
        images_per_s=bill.images_per_s,
        changed=record.changed,
    )


def _changed(folder: Path) -> float | None:
    paths = RunPaths(folder)
    times = [s[0] / 1e9 for s in (signature(path) for path in (paths.result, paths.journal)) if s]
    return max(times, default=None)


def _host(folder: Path) -> str | None:
    """The machine of the run's last start."""
    path = RunPaths(folder).provenance
    provenance = read_json(path) if path.exists() else {}
    last = [provenance, *(provenance.get("starts") or [])][-1]
    host = (last.get("machine") or {}).get("hostname")
    return str(host) if host else None


def _finite(figures: Mapping[str, object]) -> dict[str, float | None]:
    return {name: real(value) for name, value in figures.items()}


def _elapsed(record: ledger.RunRecord) -> float | None:
    """Seconds from the record's start to its end."""
    started, ended = since_1970(record.started), since_1970(record.ended)
    return None if started is None or ended is None else max(0.0, ended - started)


def _with_journal(state: RunState, tail: JournalTail) -> RunState:
    """The state, with the values of the journal's last lines."""
    finished = None  # the last epoch that has a line of its own
    if tail.epoch:
        finished, loss, delta = whole(tail.epoch.get("epoch")), real(tail.epoch.get("loss")), tail.epoch.get("delta")
        state = replace(state, epoch=finished, loss=loss, delta=real(delta))
    if tail.train:
        state = _within_epoch(state, tail.train, finished)
    if state.progress is None:
        state = replace(state, progress=_progress(state))
    if state.state == "running" and tail.train and tail.signature:
        eta = real(tail.train.get("eta_s"))
        state = replace(state, ends_at=None if eta is None else tail.signature[0] / 1e9 + eta)
    if not state.figures and tail.evaluation:
        state = _with_figures(state, tail.evaluation)
    if tail.signature and state.changed is not None:
        state = replace(state, changed=max(state.changed, tail.signature[0] / 1e9))
    return replace(state, problem=f"metrics.jsonl: {tail.problem}") if tail.problem else state


def _within_epoch(state: RunState, line: Mapping[str, object], finished: int | None) -> RunState:
    """The state, with the values of a line written within an epoch; the line of a finished epoch is more exact."""
    rate = real(line.get("images_per_s")) if state.images_per_s is None else state.images_per_s
    state = replace(state, step=whole(line.get("step")), steps=whole(line.get("steps")), images_per_s=rate)
    epoch = whole(ledger.epoch_of(line))
    if epoch is None or epoch == finished:
        return state
    delta = state.delta if line.get("delta") is None else real(line.get("delta"))
    return replace(state, epoch=epoch, loss=real(line.get("loss")), delta=delta)


def _progress(state: RunState) -> float | None:
    if not state.epochs or state.epoch is None:
        return None
    share = state.step / state.steps if state.step is not None and state.steps else 1.0
    return min(1.0, (state.epoch - 1 + share) / state.epochs)


def _with_figures(state: RunState, line: Mapping[str, object]) -> RunState:
    figures = line.get("figures")
    if not isinstance(figures, Mapping):
        return replace(state, problem="metrics.jsonl: the figures are not as expected: a mapping was expected")
    try:
        return replace(state, figures=_finite(headline(figures)), measured=str(line.get("kind")))
    except (KeyError, TypeError, AttributeError) as error:
        return replace(state, problem=f"metrics.jsonl: the figures are not as expected: {error!r}")
