"""When a job reached which phase, from submission to the first training step: lines in phases.jsonl of its folder."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from pathlib import Path
from typing import TypedDict

NAME = "phases.jsonl"
FOLDER = "SANPOSE_JOB_FOLDER"  # the environment variable that names the job's folder


class Phase(TypedDict):
    """at: Unix time in seconds. restart: how often Slurm had requeued the job."""

    phase: str
    at: float
    restart: int


def mark(phase: str, at: float | None = None) -> None:
    """Note that the job of this process has reached a phase; outside a job nothing happens."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    restart = int(os.environ.get("SLURM_RESTART_COUNT", 0))
    line: Phase = {"phase": phase, "at": round(at or time.time(), 3), "restart": restart}
    with contextlib.suppress(OSError), (Path(folder) / NAME).open("a") as file:  # a full disk must not end the job
        file.write(json.dumps(line) + "\n")


def read(folder: Path) -> list[Phase]:
    """The complete lines of a job's folder."""
    lines: list[Phase] = []
    for line in (folder / NAME).read_bytes().split(b"\n")[:-1] if (folder / NAME).exists() else []:
        with contextlib.suppress(ValueError):  # a full disk has truncated the line
            lines.append(json.loads(line))
    return lines


def durations(folder: Path) -> list[tuple[str, float]]:
    """Seconds from each phase of the last start to the next phase."""
    lines = read(folder)
    last = [line for line in lines if line["restart"] == lines[-1]["restart"]]
    return [(b["phase"], b["at"] - a["at"]) for a, b in itertools.pairwise(last)]
