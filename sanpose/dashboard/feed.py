"""The changes in a folder of runs: states of runs and sweeps as versioned items for a page that polls.

A page sends the version it has, and gets the newer items. Does not know HTTP.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

from sanpose.status.states import RunState, Snapshot, SweepState, TrialState
from sanpose.status.watch import Watcher

REFRESH_SECONDS = 1.0  # the folder is read at most once in this time, whatever the number of pages
Key = tuple[str, str]


class Feed:
    """Items by key: ("run", id), ("sweep", name), ("trials", name), ("broken", ""), names as `shown`. Safe to use from
    any thread."""

    def __init__(self, watcher: Watcher):
        self._watcher = watcher
        self._lock = threading.Lock()
        self._refreshed = 0.0
        self._version = 0
        self._items: dict[Key, tuple[int, object]] = {}  # key -> version, value; None for an item that is gone
        self.started = secrets.token_hex(4)  # versions of an earlier start are invalid

    def since(self, started: str, version: int) -> dict[str, object]:
        """The items newer than `version` of the server start `started`; all items for another start.

        Keys: `started`, `version`, `full` (whether these are all items), `at` (seconds since 1970), `items`: lists of
        kind, name and value, null for an item that is gone.
        """
        with self._lock:
            if time.monotonic() - self._refreshed > REFRESH_SECONDS:
                self._update(self._watcher.refresh())
                self._refreshed = time.monotonic()
            full = started != self.started or version > self._version
            newer = [
                [*key, plain(value)]
                for key, (changed, value) in self._items.items()
                if changed > version or (full and value is not None)
            ]
            return {
                "started": self.started,
                "version": self._version,
                "full": full,
                "at": time.time(),
                "items": newer,
            }

    def run(self, name: str) -> RunState | None:
        """The state of a run, None for an unknown run."""
        with self._lock:
            value = self._items.get(("run", name), (0, None))[1]
            return value if isinstance(value, RunState) else None

    def sweep(self, name: str) -> bool:
        """Whether there is a sweep of that name."""
        with self._lock:
            return self._items.get(("sweep", name), (0, None))[1] is not None

    def _update(self, snapshot: Snapshot) -> None:
        items = dict(_items(snapshot))
        changed = {k: v for k, v in items.items() if k not in self._items or not _same(self._items[k][1], v)}
        gone = {k: None for k, (_, v) in self._items.items() if k not in items and v is not None}
        if changed or gone:
            self._version += 1
            self._items |= {k: (self._version, v) for k, v in (changed | gone).items()}


def _same(before: object, now: object) -> bool:
    return before is now or bool(before == now)


def _items(snapshot: Snapshot) -> Iterator[tuple[Key, object]]:
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
    """A name that a page can send back: bytes of a folder's name that are not UTF-8 become escapes."""
    return name.encode(errors="backslashreplace").decode()


def _id(sweep: str, trial: TrialState) -> str:
    """The key of a trial's run: its id, the trial's name where the run has no id, "" before the start."""
    return shown(trial.run.id) or ("" if trial.number is None else f"{sweep}, trial {trial.number}")


def _summary(sweep: SweepState) -> dict[str, object]:
    return {
        "title": sweep.title,
        "state": sweep.state,
        "reason": sweep.reason,
        "dashboard": sweep.dashboard,
        "counts": sweep.counts,
        "to_draw": sweep.to_draw,
        "ends_at": sweep.ends_at,
        "claims": {**sweep.claims.plain(), "summary": sweep.claims.summary} if sweep.claims else None,
    }


def plain(value: object) -> object:
    """An item's value as plain data. A run: as in RunState, figures by their names, times in seconds since 1970,
    without unknown values."""
    if not isinstance(value, RunState):
        return value
    keys = {name: getattr(value, name) for name in RunState.__dataclass_fields__ if name not in ("id", "figures")}
    keys |= {"label": value.label, **value.figures}
    return {name: item for name, item in keys.items() if item not in (None, "")}
