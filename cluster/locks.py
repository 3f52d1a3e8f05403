"""Locks between processes: held through an open file, so that the kernel releases them when a process dies."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import ClusterError

# No lock manager (NFS without lockd), no flock (Lustre mounted without it), no locks at all.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def lock(path: Path, *, create: bool = True, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a file. wait: until another process has released the lock.

    Raises BlockingIOError when another process holds the lock and `wait` is false, FileNotFoundError when the file is
    missing and `create` is false, and ClusterError on a file system without locks.
    """
    with path.open("a" if create else "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise ClusterError(
                f"this file system has no file locks ({error.strerror})",
                where=path,
                expected="flock, by which one process at a time submits a job",
                hint="another file system, or the mount option flock (docs/cluster.md, File locks)",
            ) from error
        yield
