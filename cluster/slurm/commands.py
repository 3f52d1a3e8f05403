"""Slurm's commands, run with a time limit, and the reason of a failure on one line."""

from __future__ import annotations

import os
import re
import subprocess
import time

_RETRY_SECONDS = 3.0
SECONDS = 20.0  # a busy controller answers within MessageTimeout, 10 s by default
# Variables with which a user changes the filter and the format of these commands' output.
_USER_FORMATS = ("SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_", "SLURM_TIME_FORMAT")


class NotAnsweringError(Exception):
    """A Slurm command failed or timed out; the message says why, on one line."""


def ask(*command: str, seconds: float = SECONDS) -> str:
    """What a Slurm command prints. Raises NotAnsweringError when the command is missing, fails, or times out."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_USER_FORMATS)}
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=seconds, env=environment
        )
    except FileNotFoundError as error:
        raise NotAnsweringError(f"{command[0]} is not on PATH") from error
    except OSError as error:
        raise NotAnsweringError(f"{command[0]} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise NotAnsweringError(f"{command[0]} has not answered within {seconds:g} s") from error
    if done.returncode:
        raise NotAnsweringError(reason(done.stderr) or f"{command[0]} ended with code {done.returncode}")
    return done.stdout


def ask_patiently(*command: str, patience: float = 120.0) -> str:
    """As `ask`, but retries while the controller is unreachable: the controller may be restarting."""
    until = time.monotonic() + patience
    while True:
        try:
            return ask(*command)
        except NotAnsweringError as error:
            if not re.search(r"ontact|onnect|not answered|imed out", str(error)) or time.monotonic() > until:
                raise
        time.sleep(_RETRY_SECONDS)


def reason(stderr: str) -> str:
    """The line of Slurm's error output that says why. A line about munge comes first, since the other errors follow
    from it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    munge = [line for line in lines if "unge" in line and "restart with" not in line]
    return (munge[:1] or lines[-1:] or [""])[0]
