"""Locks on a run: one driver, and one training process, at a time."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sanpose import disk
from sanpose.errors import UserError


class Busy(UserError):  # noqa: N818 - it says what is, and is not always an error
    """Another process is training this run."""


def hold(folder: Path) -> IO[str]:
    """Hold the run's folder, so that no second process trains into it, until the file is closed."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Busy("this run is being trained by another process", where=folder) from error
    return lock


_OTHER_SECONDS, _POLL_SECONDS = 60.0, 0.1


@contextmanager
def sole(folder: Path) -> Iterator[None]:
    """Wait until no process of an earlier start trains into the folder any more: one whose driver was killed lives on
    for a moment. Raises UserError when it does not end."""
    until = time.monotonic() + _OTHER_SECONDS
    with disk.patiently(folder, lambda: (folder / ".worker.lock").open("w")) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise UserError("a process of an earlier start still trains this run", where=folder) from error
                time.sleep(_POLL_SECONDS)
        yield
