"""Locks on a folder: one driver, and one training process, at a time. The system releases a lock when its holder
dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sanpose import disk
from sanpose.errors import UserError
from sanpose.runs.paths import RunPaths

# No lock manager (NFS without lockd), no flock (Lustre mounted without it), no locks at all.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_EARLIER_WORKER_SECONDS, _POLL_SECONDS = 60.0, 0.1


class Busy(UserError):  # noqa: N818 - a state, and not always an error
    """Another process holds this folder."""


def hold(path: Path, refusal: str) -> IO[str]:
    """Hold a lock file until the returned file is closed. Raises Busy with the refusal when another process holds it,
    and UserError, leaving nothing new behind, on a file system without locks."""
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Busy(refusal, where=path.parent) from error
    except OSError as error:
        lock.close()
        if error.errno not in _NO_LOCKS:
            raise
        if is_new:
            _remove(path)
        raise UserError(
            f"this file system has no file locks ({error.strerror})",
            where=path,
            expected="flock, by which one process at a time trains a run",
            hint="runs=DIR on another file system, or ask for the mount option flock (docs/cluster.md, File locks)",
        ) from error
    return lock


def _remove(lock: Path) -> None:
    """Remove a lock file and its folder if the folder holds nothing else."""
    with contextlib.suppress(OSError):
        lock.unlink()
        lock.parent.rmdir()


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
