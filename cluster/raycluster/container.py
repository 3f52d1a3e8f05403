"""The container of a job's profile, in which Ray and the command run. The launcher runs outside, where Slurm's commands
are."""

from __future__ import annotations

import os
import shlex
import sys

CONTAINER = "SANPOSE_CONTAINER"  # the environment variable with the command, such as `apptainer exec --nv image.sif`
PYTHON = "SANPOSE_PYTHON"


def inside(command: list[str]) -> list[str]:
    """The command that runs `command` in this job's container; `command` itself without a container."""
    return [*shlex.split(os.environ.get(CONTAINER, "")), *command]


def python() -> str:
    """The Python in the container, or this Python."""
    return os.environ.get(PYTHON) or sys.executable
