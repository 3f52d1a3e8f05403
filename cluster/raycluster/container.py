"""The container that a job's profile names: what Ray and the command are put behind. The launcher runs outside, where
Slurm's commands are."""

from __future__ import annotations

import os
import shlex
import sys

CONTAINER = "SANPOSE_CONTAINER"  # the environment variable with the command, such as `apptainer exec --nv image.sif`
PYTHON = "SANPOSE_PYTHON"


def inside(command: list[str]) -> list[str]:
    """A command as it is run in this job's container, or as it is where there is none."""
    return [*shlex.split(os.environ.get(CONTAINER, "")), *command]


def python() -> str:
    """The interpreter in the container, or this one."""
    return os.environ.get(PYTHON) or sys.executable
