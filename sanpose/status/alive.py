"""Whether the process that a record names is alive: by the lock on a run's folder, or by a process id."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sanpose.runs.paths import RunPaths
from sanpose.status.states import since_1970

_CLOCK_SECONDS = 5.0  # a driver notes the time of its start some moments after the start


@dataclass(frozen=True)
class RecordedDriver:
    """The process that runs a sweep, as the sweep's record names it. `dashboard`: the address of Ray's dashboard."""

    pid: int | None
    host: str | None
    started: float | None
    dashboard: str | None

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine; a record without a host is taken to be of this machine."""
        return self.host in (None, socket.gethostname())


def is_locked(folder: Path) -> bool | None:
    """Whether a process holds a run's lock; None when the lock cannot be examined.

    The lock is tried shared, for an instant and without waiting; its file is neither made nor changed.
    """
    try:
        handle = os.open(RunPaths(folder).driver_lock, os.O_RDONLY | os.O_CLOEXEC)
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


def recorded_driver(head: Mapping[str, object]) -> RecordedDriver:
    """The driver that a sweep's head names; without a pid where it names none."""
    keys = head.get("driver")
    keys = keys if isinstance(keys, Mapping) else {}
    pid, host, dashboard = keys.get("pid"), keys.get("host"), keys.get("dashboard")
    return RecordedDriver(
        pid if isinstance(pid, int) else None,
        None if host is None else str(host),
        since_1970(keys.get("started")),
        dashboard if isinstance(dashboard, str) else None,
    )


def driver_state(head: Mapping[str, object]) -> tuple[str, str]:
    """The state of a sweep by its head: "running", "ended", "stopped", "unverified" or "unknown", and why."""
    if head.get("ended"):
        return "ended", str(head["ended"])
    driver = recorded_driver(head)
    if driver.pid is None:
        return "unknown", "the record names no process that runs the sweep"
    if not driver.is_here:
        return "unverified", f"process {driver.pid} on {driver.host}, which cannot be seen from here"
    if _is_alive(driver.pid, driver.started):
        return "running", f"process {driver.pid}"
    return "stopped", f"process {driver.pid} is gone; run the same command again to resume the sweep"


def _is_alive(pid: int, started: float | None) -> bool:
    """Whether a process of that id lives and is not younger than the recorded start."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return started is None or process.create_time() <= started + _CLOCK_SECONDS
    except (psutil.NoSuchProcess, ValueError):  # ValueError: a number that no process can have
        return False
