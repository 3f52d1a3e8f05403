"""Wait for a shared file system that is full, read-only or out of reach for a while, so that a run loses nothing.

Knows errors of the operating system and free space; does not know what is written.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sanpose.errors import UserError

_SOME_BYTES = 2**20
# Disk full, over quota, mounted read-only, stale file handle, I/O error, server not answering.
_TRANSIENT = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EIO, errno.ETIMEDOUT}
T = TypeVar("T")

PATIENCE = "SANPOSE_DISK_SECONDS"  # how long to wait
_PATIENCE_SECONDS, FIRST_SECONDS, _LONGEST_SECONDS = 1800.0, 0.5, 10.0


def _is_transient(error: OSError) -> bool:
    """Whether the error may disappear after some time."""
    return error.errno in _TRANSIENT


class NotWritable(UserError):  # noqa: N818 - the name states the problem
    """A file system has not been writable for longer than `patience()`."""


def patience() -> float:
    """How long a write may wait, in seconds."""
    return float(os.environ.get(PATIENCE) or _PATIENCE_SECONDS)


def patiently(folder: Path, write: Callable[[], T], size: int = 0) -> T:
    """Call `write`, which writes below a folder, and return its result. After a transient error, wait and call again.

    size: the bytes that must be free before the call. Raises NotWritable after half an hour of waiting
    ($SANPOSE_DISK_SECONDS); any other error is raised at once.
    """
    start, pause, waited = time.monotonic(), FIRST_SECONDS, 0.0
    while True:
        problem = _obstacle(folder, size) if size else None
        if problem is None:
            try:
                result = write()
                if waited:
                    print(f"{folder} is writable again, after {waited:.0f} s", file=sys.stderr, flush=True)
                return result
            except OSError as error:
                if not _is_transient(error):
                    raise
                problem = error.strerror or "not writable"
        size = size or _SOME_BYTES  # before the next call of `write`, which may take long
        waited = time.monotonic() - start
        if waited > patience():
            raise NotWritable(
                f"the runs' file system has not been writable for {waited:.0f} s: {problem}",
                where=folder,
                expected=f"{size / 2**20:.0f} MiB of free space",
                hint=f"free space, and run the same command again; set {PATIENCE}=SECONDS to wait longer",
            )
        if pause == FIRST_SECONDS:
            print(f"waiting for {folder} to be writable: {problem}", file=sys.stderr, flush=True)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_SECONDS)


def _obstacle(folder: Path, size: int) -> str | None:
    probe = folder / f".probe-{os.uname().nodename}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb") as file:
                file.write(b"\0" * 4096)
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        if not _is_transient(error):
            raise
        return error.strerror or "not writable"
    return None if free >= size else f"{free / 2**20:.0f} MiB are free, {size / 2**20:.0f} are needed"
