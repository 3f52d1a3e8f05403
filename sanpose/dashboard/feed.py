"""What changes, and nothing else: the state of runs and sweeps as numbered items for a page that asks again and again.

A page says up to which version it knows everything; it gets the items that are newer. Knows no HTTP.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

from sanpose.status.states import RunState, Snapshot, SweepState, TrialState
from sanpose.status.watch import Watcher

_LOOK_SECONDS = 1.0  # the folder is looked at this often at most, however many pages ask
Key = tuple[str, str]


class Feed:
    """Items by key: ("run", id), ("sweep", name), ("trials", name), ("broken", ""), names as `shown`. May be asked from
    any thread."""

    def __init__(self, watcher: Watcher):
        self._watcher = watcher
        self._lock = threading.Lock()
        self._looked = 0.0
        self._version = 0
        self._items: dict[Key, tuple[int, Any]] = {}  # key -> version, value; None: gone
        self.started = secrets.token_hex(4)  # versions of an earlier start mean nothing

    def since(self, started: str, version: int) -> dict[str, Any]:
        """What is newer than `version`, of a server start `started`; everything for a page that knows another start.

        Keys: `started`, `version`, `full` (whether it is everything), `at` (seconds since 1970), `items`: lists of
        kind, name and value, null for what is gone.
        """
        with self._lock:
            if time.monotonic() - self._looked > _LOOK_SECONDS:
                self._update(self._watcher.refresh())
                self._looked = time.monotonic()
            full = started != self.started or version > self._version
            newer = [
                [*key, plain(value)]
                for key, (changed, value) in self._items.items()
                if changed > version or (full and value is not None)
            ]
            told = {"started": self.started, "version": self._version, "full": full, "at": time.time()}
            return told | {"items": newer}

    def run(self, name: str) -> RunState | None:
        """A run that is known, None otherwise."""
        with self._lock:
            value = self._items.get(("run", name), (0, None))[1]
            return value if isinstance(value, RunState) else None

    def sweep(self, name: str) -> bool:
        """Whether there is a sweep of that name."""
        with self._lock:
            return self._items.get(("sweep", name), (0, None))[1] is not None

    def _update(self, snapshot: Snapshot) -> None:
        found = dict(_items(snapshot))
        changed = {k: v for k, v in found.items() if k not in self._items or not _same(self._items[k][1], v)}
        gone = {k: None for k, (_, v) in self._items.items() if k not in found and v is not None}
        if changed or gone:
            self._version += 1
            self._items |= {k: (self._version, v) for k, v in (changed | gone).items()}


def _same(before: Any, now: Any) -> bool:
    return before is now or bool(before == now)


def _items(snapshot: Snapshot) -> Iterator[tuple[Key, Any]]:
    for sweep in snapshot.sweeps:
        name = shown(sweep.name)
        yield ("sweep", name), _summary(sweep)
        ids = [_id(name, trial) for trial in sweep.trials]
        yield ("trials", name), [[t.point, t.seed, run] for t, run in zip(sweep.trials, ids, strict=True)]
        for trial, run in zip(sweep.trials, ids, strict=True):
            if run:
                yield ("run", run), trial.run
    yield ("loose", ""), [shown(run.id) for run in snapshot.loose]
    for loose in snapshot.loose:
        yield ("run", shown(loose.id)), loose
    yield ("broken", ""), [[str(b.path), b.reason] for b in snapshot.broken]


def shown(name: str) -> str:
    """A name as a page can send it back: of a folder's that is not UTF-8, the bytes that are none as escapes."""
    return name.encode(errors="backslashreplace").decode()


def _id(sweep: str, trial: TrialState) -> str:
    """What a trial's run goes by: its id; a name of its own where none could be told; "" before it has begun."""
    return shown(trial.run.id) or ("" if trial.number is None else f"{sweep}, trial {trial.number}")


def _summary(sweep: SweepState) -> dict[str, Any]:
    return {
        "title": sweep.title,
        "state": sweep.state,
        "reason": sweep.reason,
        "dashboard": sweep.dashboard,
        "counts": sweep.counts,
        "to_draw": sweep.to_draw,
        "ends_at": sweep.ends_at,
    }


def plain(value: Any) -> Any:
    """An item's value as plain data. A run: as in RunState, figures by their names, times in seconds since 1970; what
    is unknown is left out."""
    if not isinstance(value, RunState):
        return value
    told = {name: getattr(value, name) for name in RunState.__dataclass_fields__ if name not in ("id", "figures")}
    told |= {"label": value.label, **value.figures}
    return {name: told_value for name, told_value in told.items() if told_value not in (None, "")}
