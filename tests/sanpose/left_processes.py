"""Which processes a command leaves behind: every orphan below this process becomes its child."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@contextmanager
def none_left() -> Iterator[None]:
    """Fail when a process that was started meanwhile, at whatever depth, lives at the end."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    this = psutil.Process()
    before = set(this.children(recursive=True))
    try:
        yield
        new = set(this.children(recursive=True)) - before
        left = [process for process in new if process.status() != psutil.STATUS_ZOMBIE]
        described = [(process.pid, process.name(), process.cmdline()) for process in left]
        for process in left:
            process.kill()
        psutil.wait_procs(new, timeout=5)
        assert not described
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
