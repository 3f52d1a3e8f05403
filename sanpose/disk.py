"""A shared file system that is full, read-only or out of reach for a while is waited for: a run then loses nothing."""

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
# Out of space, over quota, remounted read-only, the server's handle gone, the server not answering.
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EIO, errno.ETIMEDOUT}
T = TypeVar("T")

PATIENCE = "SANPOSE_DISK_SECONDS"  # how long to wait
_PATIENCE_SECONDS, _FIRST_SECONDS, _LONGEST_SECONDS = 1800.0, 0.5, 10.0


def _passes(error: OSError) -> bool:
    """Whether what a file system says may be over in a while."""
    return error.errno in _PASSING


class NotWritable(UserError):  # noqa: N818 - it says what is the matter
    """A file system has not been writable for longer than this waits."""


def patience() -> float:
    """How long a write may wait, in seconds."""
    return float(os.environ.get(PATIENCE) or _PATIENCE_SECONDS)


def patiently(folder: Path, write: Callable[[], T], size: int = 0) -> T:
    """Call what writes below a folder, from its beginning each time that the file system refuses it for a while; what
    it gives in the end. size: the bytes that must be free before it is called.

    Raises NotWritable when it takes longer than half an hour ($SANPOSE_DISK_SECONDS).
    """
    begun, pause, waited = time.monotonic(), _FIRST_SECONDS, 0.0
    while True:
        wrong = _obstacle(folder, size) if size else None
        if wrong is None:
            try:
                written = write()
                if waited:
                    print(f"{folder} is writable again, after {waited:.0f} s", file=sys.stderr, flush=True)
                return written
            except OSError as error:
                if not _passes(error):
                    raise
                wrong = error.strerror or "not writable"
        size = size or _SOME_BYTES  # before the next try, which may be a long one
        waited = time.monotonic() - begun
        if waited > patience():
            raise NotWritable(
                f"the runs' file system has not been writable for {waited:.0f} s: {wrong}",
                where=folder,
                expected=f"{size / 2**20:.0f} MiB of free space",
                hint=f"free space, and start the same command again; {PATIENCE}=SECONDS waits longer",
            )
        if pause == _FIRST_SECONDS:
            print(f"waiting for {folder} to be writable: {wrong}", file=sys.stderr, flush=True)
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
        if not _passes(error):
            raise
        return error.strerror or "not writable"
    return None if free >= size else f"{free / 2**20:.0f} MiB are free, {size / 2**20:.0f} are needed"
