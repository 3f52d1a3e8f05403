"""Optuna's journal file on a file system that may be full or unreachable for a while: every line once, and complete.

Optuna's own writer leaves a torn line on a full disk. The next line would be joined to the torn line, and neither could
be read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages.journal import BaseJournalBackend, JournalFileSymlinkLock

Patiently = Callable[[Path, Callable[[], None]], None]
"""Calls a function that writes below a folder; calls it again while the file system refuses the write."""

GRACE_SECONDS = 5  # Optuna waits 30 for a lock that anybody may hold; here only a dashboard shares the folder


def at_once(_folder: Path, write: Callable[[], None]) -> None:
    """Write without waiting."""
    write()


def backend(path: Path, patiently: Patiently) -> BaseJournalBackend:
    """Optuna's backend of a journal file, which is made if it does not exist."""
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    lock = JournalFileSymlinkLock(str(path))

    class Backend(JournalFileBackend):
        def append_logs(self, logs: Sequence[Mapping[str, object]]) -> None:
            text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
            lines = _Lines(path, text.encode(), lock)
            try:
                patiently(path.parent, lines.write)
            finally:
                lines.give_up_lock()

    return Backend(str(path), lock)


class _Lines:
    """Lines to append once, however often `write` is called. The lock is held from one call to the next."""

    def __init__(self, path: Path, text: bytes, lock: JournalFileSymlinkLock):
        self._path, self._text, self._lock = path, text, lock
        self._locked = self._written = False
        self._start: int | None = None  # where an earlier call has written

    def write(self) -> None:
        if not self._locked:
            self._lock.acquire()
            self._locked = True
        if not self._written:
            self._append()
            self._written = True
        _release(self._lock)
        self._locked = False

    def give_up_lock(self) -> None:
        """Release the lock if the lines could not be written."""
        if self._locked:
            with suppress(OSError):
                _release(self._lock)

    def _append(self) -> None:
        with self._path.open("a+b", buffering=0) as file:
            descriptor, size = file.fileno(), len(self._text)
            written = b"" if self._start is None else os.pread(descriptor, size, self._start)
            if written != self._text:
                if written and self._text.startswith(written):
                    os.ftruncate(descriptor, self._start or 0)
                self._start = _complete_lines(descriptor)
                remaining = memoryview(self._text)
                while remaining:
                    remaining = remaining[file.write(remaining) :]
            os.fsync(descriptor)


def _complete_lines(descriptor: int) -> int:
    """Cut off a torn last line, of another writer or of an earlier call; returns the file's length then."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        size = os.pread(descriptor, size, 0).rfind(b"\n") + 1
        os.ftruncate(descriptor, size)
    return size


def _release(lock: JournalFileSymlinkLock) -> None:
    """Release a lock. Raises OSError when the file system refuses. A lock that another process has removed counts as
    released."""
    try:
        lock.release()
    except RuntimeError as error:
        if not isinstance(error.__context__, OSError):
            raise
        if not isinstance(error.__context__, FileNotFoundError):
            raise error.__context__ from None


def mend(path: Path) -> None:
    """Cut off the torn last line of a killed writer, if the file exists.

    A lock that exists for GRACE_SECONDS without a write belongs to a killed driver, and is removed. A younger lock may
    belong to a dashboard, whose writes take milliseconds.
    """
    from optuna.storages.journal import JournalFileSymlinkLock

    if not path.exists():
        return
    lock = JournalFileSymlinkLock(str(path), grace_period=GRACE_SECONDS)
    with _quiet():  # Optuna would warn about the removed lock
        lock.acquire()
    try:
        with path.open("r+b") as file:
            _complete_lines(file.fileno())
    finally:
        _release(lock)


@contextmanager
def _quiet() -> Iterator[None]:
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
