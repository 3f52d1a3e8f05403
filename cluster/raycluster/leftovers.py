"""Processes that outlive the private Ray to which they belong."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import psutil

_OUTPUTS = ("1", "2")
_POLL_SECONDS, _KILL_SECONDS = 0.05, 5.0


def end_processes(folder: Path, grace: float) -> None:
    """End the processes of this user whose output goes to files in `folder`, as that of every process of a private Ray
    does. They have `grace` seconds to end by themselves; then they are killed."""
    deadline = time.monotonic() + grace
    while (processes := _processes(folder)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_KILL_SECONDS)


def _processes(folder: Path) -> list[psutil.Process]:
    prefix = f"{folder}{os.sep}"
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _writes_to(process, prefix)]


def _writes_to(process: psutil.Process, prefix: str) -> bool:
    outputs = (Path(f"/proc/{process.pid}/fd/{number}") for number in _OUTPUTS)
    try:
        return any(str(output.readlink()).startswith(prefix) for output in outputs)
    except OSError:  # the process has just ended, or belongs to another user
        return False
