"""Optuna's journal file on a file system that may be full or out of reach for a while: every line once, and whole.

Optuna's own writer leaves a torn line on a full disk; the next line would be joined to it, and neither be read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Patiently = Callable[[Path, Callable[[], None]], None]
"""Calls what writes below a folder, again where the file system refuses it for a while."""

_LEFT_SECONDS = 5  # Optuna itself waits 30: its lock may be anybody's, while here the sweep's folder is held


def at_once(_folder: Path, write: Callable[[], None]) -> None:
    """Write, and wait for nothing."""
    write()


def backend(path: Path, patiently: Patiently) -> Any:
    """Optuna's backend of a file, which it makes where there is none."""
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    lock = JournalFileSymlinkLock(str(path))
    found: Any = JournalFileBackend(str(path), lock)

    def append(logs: list[dict[str, Any]]) -> None:
        lines = _Lines(path, "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode(), lock)
        try:
            patiently(path.parent, lines.write)
        finally:
            lines.let_go()

    found.append_logs = append
    return found


class _Lines:
    """Lines that are to be appended once, however often it is tried. The lock is kept from one try to the next."""

    def __init__(self, path: Path, text: bytes, lock: Any):
        self.path, self.text, self.lock = path, text, lock
        self.held = self.written = False
        self.at: int | None = None

    def write(self) -> None:
        if not self.held:
            self.lock.acquire()
            self.held = True
        if not self.written:
            self._append()
            self.written = True
        _release(self.lock)
        self.held = False

    def let_go(self) -> None:
        """Give the lock back if lines are given up."""
        if self.held:
            with suppress(OSError):
                _release(self.lock)

    def _append(self) -> None:
        with self.path.open("a+b", buffering=0) as file:
            number = file.fileno()
            begun = b"" if self.at is None else os.pread(number, len(self.text), self.at)  # at an earlier try
            if begun != self.text:
                if begun and self.text.startswith(begun):
                    os.ftruncate(number, self.at or 0)
                self.at = _whole_lines(number)
                left = memoryview(self.text)
                while left:
                    left = left[file.write(left) :]
            os.fsync(number)


def _whole_lines(file: int) -> int:
    """Cut off what somebody, or an earlier try, has left of a last line; the file's length then."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        size = os.pread(file, size, 0).rfind(b"\n") + 1
        os.ftruncate(file, size)
    return size


def _release(lock: Any) -> None:
    """Give back a lock. Raises OSError where the file system refuses that; one that was taken from us is given back."""
    try:
        lock.release()
    except RuntimeError as error:
        if not isinstance(error.__context__, OSError):
            raise
        if not isinstance(error.__context__, FileNotFoundError):
            raise error.__context__ from None


def mend(path: Path) -> None:
    """Cut off what a killed machine left of a last line, if the file is there.

    The lock of a driver that was killed while it wrote is taken from it. It could also be that of a dashboard, so it
    must have been there for a while without a write: a write takes milliseconds.
    """
    from optuna.storages.journal import JournalFileSymlinkLock

    if not path.exists():
        return
    lock = JournalFileSymlinkLock(str(path), grace_period=_LEFT_SECONDS)
    with _quiet():  # Optuna would warn of the lock that it takes away
        lock.acquire()
    try:
        with path.open("r+b") as file:
            _whole_lines(file.fileno())
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
