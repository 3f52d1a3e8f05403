"""Commands of the lab, run so that a failure shows their output."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class LabError(Exception):
    """The lab, or Slurm in it, did not do what a test needs."""


def run(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    text: str | None = None,
    timeout: float = 60,
) -> str:
    """Run a command, `text` being its input, and return what it printed, stripped.

    Raises LabError when its exit code is not 0 or it takes more than `timeout` seconds.
    """
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, input=text or "", capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{shown}: no end after {timeout:g} s") from None
    if done.returncode != 0:
        raise LabError(f"{shown}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout.strip()


def until(done: Callable[[], bool], timeout: float) -> bool:
    """Ask ten times a second, for `timeout` seconds at most. Returns the last answer."""
    end = time.monotonic() + timeout
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def tail(path: Path, lines: int = 15) -> str:
    """The end of a log under its name, without what every start of Debian's Slurm says of MPI."""
    text = path.read_text(errors="replace").splitlines() if path.is_file() else ["(not there)"]
    telling = [line for line in text if "pmix" not in line and " MPI: " not in line]
    return "\n".join([f"--- {path}", *telling[-lines:]])
