"""Whether the process that a record names is alive: by the lock on a run's folder, or by a process's id."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from sanpose.status.states import since_1970

_CLOCK_SECONDS = 5.0  # a driver notes the time of its start some moments after the start


def held(folder: Path) -> bool | None:
    """Whether a process holds a run's lock; None when the lock may not be looked at.

    The lock is tried shared, for an instant and without waiting; its file is neither made nor changed.
    """
    try:
        handle = os.open(folder / ".lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None  # a file system without locks
    finally:
        os.close(handle)
    return False


def driver(head: Mapping[str, object]) -> tuple[str, str]:
    """The state of a sweep by its head: "running", "ended", "stopped", "unverified" or "unknown", and why."""
    if head.get("ended"):
        return "ended", str(head["ended"])
    told = head.get("driver")
    pid = told.get("pid") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(pid, int):
        return "unknown", "the record names no process that runs it"
    host = told.get("host")
    if host not in (None, socket.gethostname()):
        return "unverified", f"process {pid} on {host}, which cannot be seen from here"
    if _alive(pid, since_1970(told.get("started"))):
        return "running", f"process {pid}"
    return "stopped", f"process {pid} is gone; the same command continues the sweep"


def _alive(pid: int, started: float | None) -> bool:
    """Whether a process of that id lives that is not younger than what it is said to have started."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return started is None or process.create_time() <= started + _CLOCK_SECONDS
    except (psutil.NoSuchProcess, ValueError):  # ValueError: a number that no process can have
        return False
