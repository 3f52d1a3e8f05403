"""Locks on a folder: one driver, and one training process, at a time. The system releases a lock when its holder
dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sanpose import disk
from sanpose.errors import UserError
from sanpose.runs.paths import RunPaths

_EARLIER_WORKER_SECONDS, _POLL_SECONDS = 60.0, 0.1


class Busy(UserError):  # noqa: N818 - a state, and not always an error
    """Another process holds this folder."""


def hold(path: Path, refusal: str) -> IO[str]:
    """Hold a lock file until the returned file is closed. Raises Busy with the refusal when another process holds
    it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Busy(refusal, where=path.parent) from error
    return lock


@contextmanager
def only_worker(paths: RunPaths) -> Iterator[None]:
    """Wait until no process of an earlier start trains this run, then hold its worker lock: workers outlive a killed
    driver for a moment. Raises UserError when an earlier process does not stop."""
    until = time.monotonic() + _EARLIER_WORKER_SECONDS
    refusal = "a process of an earlier start still trains this run"
    while True:
        try:
            lock = disk.patiently(paths.folder, lambda: hold(paths.worker_lock, refusal))
            break
        except Busy:
            if time.monotonic() > until:
                raise
            time.sleep(_POLL_SECONDS)
    with lock:
        yield
