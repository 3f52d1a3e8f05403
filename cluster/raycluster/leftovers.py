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
    for process in _wait(folder, grace):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait(folder, _KILL_SECONDS)


def _wait(folder: Path, seconds: float) -> list[psutil.Process]:
    """The processes that still live after at most so many seconds."""
    deadline = time.monotonic() + seconds
    while (processes := _processes(folder)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return processes


def _processes(folder: Path) -> list[psutil.Process]:
    prefix = f"{folder}{os.sep}"
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _writes_to(process, prefix)]


def _writes_to(process: psutil.Process, prefix: str) -> bool:
    outputs = (Path(f"/proc/{process.pid}/fd/{number}") for number in _OUTPUTS)
    try:
        return any(str(output.readlink()).startswith(prefix) for output in outputs)
    except OSError:  # the process has ended, or belongs to another user
        return False
