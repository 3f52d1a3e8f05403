"""What a job prints goes to a file on the shared file system, which may be full for a while: that must not end the job.

Lines that cannot be written are kept, the last megabyte of them at least, and written with those that follow.
"""

from __future__ import annotations

import atexit
import io
import sys
import threading
from typing import Any

_MOST_BYTES = 2**20
_LOST = b"[lines are missing here: they could not be written]\n"


class _Output(io.FileIO):
    """A file that is open for writing, by its number. A reader that has gone (BrokenPipeError) is still an error."""

    def __init__(self, number: int):
        super().__init__(number, "wb", closefd=False)
        self._left = bytearray()
        self._turn = threading.RLock()

    def write(self, data: object) -> int:
        with self._turn:
            return self._write(data)

    def _write(self, data: object) -> int:
        new = bytes(memoryview(data))  # type: ignore[arg-type]
        self._left += new
        try:
            while self._left:
                written = super().write(self._left)
                if written is None:  # a pipe that is full, and that does not wait
                    self._trim()
                    break
                del self._left[:written]
        except BrokenPipeError:
            self._left.clear()
            raise
        except OSError:
            self._trim()
        return len(new)

    def _trim(self) -> None:
        if len(self._left) > 2 * _MOST_BYTES:  # seldom, as it copies
            kept = self._left[-_MOST_BYTES:]
            self._left[:] = _LOST + kept[kept.find(b"\n") + 1 :]


def outlast_full_disk() -> None:
    """Let this process's standard output and error outlast a file system that is full, read-only or out of reach."""
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
    """Write what is still kept of standard output and error, as far as it can be written by now."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        raw = getattr(getattr(stream, "buffer", None), "raw", None)
        if isinstance(raw, _Output):
            raw.write(b"")


def _writes_to(stream: Any, number: int) -> bool:
    """Whether it is this file's stream, Python's or Ray's, and not one of ours."""
    try:
        return stream.fileno() == number and not isinstance(getattr(stream.buffer, "raw", None), _Output)
    except (OSError, ValueError, AttributeError):  # it has none, or is closed
        return False
