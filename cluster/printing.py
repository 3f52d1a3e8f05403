"""A job prints to a file on the shared file system. If that file system is full for a while, the job must not end.

Lines that cannot be written are buffered, at least the last megabyte of them, and written together with later lines.
"""

from __future__ import annotations

import atexit
import io
import sys
import threading
from typing import TextIO

_MOST_BYTES = 2**20
_LOST = b"[lines are missing here: they could not be written]\n"


class _Output(io.FileIO):
    """An open file, by its descriptor. BrokenPipeError (the reader has ended) is still an error."""

    def __init__(self, number: int):
        super().__init__(number, "wb", closefd=False)
        self._unwritten = bytearray()
        self._lock = threading.RLock()

    def write(self, data: object) -> int:
        with self._lock:
            return self._write(data)

    def _write(self, data: object) -> int:
        new = bytes(memoryview(data))  # type: ignore[arg-type]
        self._unwritten += new
        try:
            while self._unwritten:
                written = super().write(self._unwritten)
                if written is None:  # a full non-blocking pipe
                    self._trim()
                    break
                del self._unwritten[:written]
        except BrokenPipeError:
            self._unwritten.clear()
            raise
        except OSError:
            self._trim()
        return len(new)

    def _trim(self) -> None:
        if len(self._unwritten) > 2 * _MOST_BYTES:  # not on every call, as this copies
            tail = self._unwritten[-_MOST_BYTES:]
            self._unwritten[:] = _LOST + tail[tail.find(b"\n") + 1 :]


def say(text: str) -> None:
    """Print a line about the job's cluster."""
    print(f"[cluster] {text}", flush=True)


def outlast_full_disk() -> None:
    """Make this process's standard output and error survive a file system that is full, read-only or unreachable."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if not _writes_to(stream, number):
            continue
        stream.flush()
        output = _Output(number)
        atexit.register(output.write, b"")
        text = io.TextIOWrapper(
            io.BufferedWriter(output), encoding=stream.encoding, errors=stream.errors, line_buffering=True
        )
        setattr(sys, name, text)


def write_kept() -> None:
    """Try to write the buffered lines of standard output and error."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        raw = getattr(getattr(stream, "buffer", None), "raw", None)
        if isinstance(raw, _Output):
            raw.write(b"")


def _writes_to(stream: TextIO, number: int) -> bool:
    """Whether a stream, Python's or Ray's, writes to a file descriptor and is not one of ours."""
    try:
        return stream.fileno() == number and not isinstance(getattr(stream.buffer, "raw", None), _Output)
    except (OSError, ValueError, AttributeError):  # without a descriptor, or closed
        return False
