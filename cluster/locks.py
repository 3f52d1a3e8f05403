"""Locks between processes: held through an open file, so that the kernel releases them when a process dies."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lock(path: Path, *, create: bool = True, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a file. wait: until another process has released the lock.

    Raises BlockingIOError when another process holds the lock and `wait` is false, and FileNotFoundError when the file
    is missing and `create` is false.
    """
    with path.open("a" if create else "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
