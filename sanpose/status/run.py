"""One run's files, read again only when they have changed, and the state that they and its lock tell."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sanpose.metrics.headline import headline
from sanpose.runs import ledger
from sanpose.runs.journal import NAME
from sanpose.status.alive import held
from sanpose.status.follow import Signature, signature
from sanpose.status.states import SETTLED, RunState, number, since_1970
from sanpose.status.tail import Tail
from sweeps.files import BrokenRecord, read_json

GONE = "its process is gone; the same command continues it"


class RunFiles:
    """The files of one run's folder; `refresh` gives its state, the same object as before when nothing changed."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._tail = Tail(folder / NAME)
        self._seen: tuple[Signature | None, ...] | None = None  # the files as they were when the record was read
        self._record = RunState(folder.name, "waiting")
        self._state: RunState | None = None
        self._free: object = None  # the files as they were when no process held the lock

    def refresh(self) -> RunState:
        """The run's state now. What of its files cannot be read is told in the state."""
        try:
            return self._refresh()
        except OSError as error:
            self._seen = None  # it is read again as soon as it can be
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
        if state is None:  # it ended between the two looks
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
        """Read the record again if its files have changed; whether they have."""
        result = signature(self.folder / "result.json")
        seen = (result, None if result else signature(self.folder / "config.yaml"))
        broken = self._record.state == "broken"
        found = (*seen, signature(self._tail.path) if broken else None)
        if found == self._seen:
            return False
        self._record = _record(self.folder)
        if self._record.state == "broken":
            found = (*seen, signature(self._tail.path))
        self._seen = found
        return True

    def _verified(self) -> RunState | None:
        """What a record that says running comes to; None when it has changed meanwhile.

        A lock that was free is not tried again until the run's files change, so that a process which is about to take
        it does not find it taken by us.
        """
        files = (self._seen, self._tail.signature)
        holds = False if files == self._free else held(self.folder)
        if holds:
            return self._record
        if holds is False:
            if self._seen is None or signature(self.folder / "result.json") != self._seen[0]:
                return None
            self._free = files
        host = self._record.host
        if host not in (None, socket.gethostname()):
            return replace(self._record, state="unverified", reason=f"running on {host}, unverified")
        if holds is None:
            return replace(self._record, state="unverified", reason="running, unverified: its lock cannot be read")
        return replace(self._record, state="stopped", reason=GONE)


def _record(folder: Path) -> RunState:
    """What the record says, without the journal."""
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
    extra, config, train = record.extra, record.config, record.config.get("train")
    train = train if isinstance(train, Mapping) else {}
    bill = extra.get("bill")
    bill = bill if isinstance(bill, Mapping) else {}
    done = record.status == "done"
    return RunState(
        id=folder.name,
        state=record.status,
        reason=None if record.reason is None else str(record.reason),
        host=host,
        cell=str(extra.get("cell", config.get("cell")) or ""),
        preset=str(config.get("preset") or ""),
        seed=number(train.get("seed"), int),
        synthetic=bool(extra.get("synthetic")),
        started=record.started,
        ended=record.ended,
        wall_s=_wall(bill, record),
        epoch=number(train.get("epochs"), int) if done else None,
        epochs=number(train.get("epochs"), int),
        progress=1.0 if done else None,
        figures=figures,
        measured="final" if figures else None,
        images_per_s=number(bill.get("images_per_s"), float),
        changed=record.changed,
    )


def _changed(folder: Path) -> float | None:
    found = [s[0] / 1e9 for s in (signature(folder / name) for name in ("result.json", NAME)) if s]
    return max(found, default=None)


def _host(folder: Path) -> str | None:
    """The machine of the run's last start."""
    told = read_json(folder / "provenance.json") if (folder / "provenance.json").exists() else {}
    last = [told, *(told.get("starts") or [])][-1]
    host = (last.get("machine") or {}).get("hostname")
    return str(host) if host else None


def _finite(figures: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: number(value, float) for name, value in figures.items()}


def _wall(bill: Mapping[str, Any], record: ledger.RunRecord) -> float | None:
    """Seconds of training: as billed over all starts, else from the record's start to its end."""
    billed: float | None = number(bill.get("wall_s"), float)
    started, ended = since_1970(record.started), since_1970(record.ended)
    if billed is not None or started is None or ended is None:
        return billed
    return max(0.0, ended - started)


def _with_journal(state: RunState, tail: Tail) -> RunState:
    """The state, with what the last lines of the journal tell."""
    found: dict[str, Any] = {}
    if tail.epoch:
        found = {"epoch": number(tail.epoch.get("epoch"), int), "loss": number(tail.epoch.get("loss"), float)}
        found["delta"] = number(tail.epoch.get("delta"), float)
    if tail.train:
        found |= _within(tail.train, found)
    if state.progress is None:
        found["progress"] = _progress(state.epochs, found)
    if state.state == "running" and tail.train and tail.signature:
        eta = number(tail.train.get("eta_s"), float)
        found["ends_at"] = None if eta is None else tail.signature[0] / 1e9 + eta
    if not state.figures and tail.evaluation:
        found |= _figures(tail.evaluation)
    if state.images_per_s is not None:
        found.pop("images_per_s", None)
    if tail.signature and state.changed is not None:
        found["changed"] = max(state.changed, tail.signature[0] / 1e9)
    if tail.problem:
        found["problem"] = f"{NAME}: {tail.problem}"
    return replace(state, **found)


def _within(train: Mapping[str, Any], epoch: Mapping[str, Any]) -> dict[str, Any]:
    """What a line written within an epoch tells; the epoch's own line, when it has come, knows better."""
    found = {"step": number(train.get("step"), int), "steps": number(train.get("steps"), int)}
    found["images_per_s"] = number(train.get("images_per_s"), float)
    inside = number(ledger.epoch_of(train), int)
    if inside is not None and inside != epoch.get("epoch"):
        found |= {"epoch": inside, "loss": number(train.get("loss"), float)}
        if train.get("delta") is not None:
            found["delta"] = number(train.get("delta"), float)
    return found


def _progress(epochs: int | None, found: Mapping[str, Any]) -> float | None:
    epoch, step, steps = found.get("epoch"), found.get("step"), found.get("steps")
    if not epochs or epoch is None:
        return None
    share = step / steps if step is not None and steps else 1.0
    return min(1.0, float(epoch - 1 + share) / epochs)


def _figures(line: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"figures": _finite(headline(line["figures"])), "measured": str(line.get("kind"))}
    except (KeyError, TypeError, AttributeError) as error:
        return {"problem": f"{NAME}: the figures are not as expected: {error!r}"}
