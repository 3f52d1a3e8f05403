"""When a job reached what: lines in its folder's phases.jsonl, from submission to the first training step."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from pathlib import Path

NAME = "phases.jsonl"
FOLDER = "SANPOSE_JOB_FOLDER"  # the environment variable that names the job's folder


def mark(phase: str, at: float | None = None) -> None:
    """Note that the job of this process has reached a phase; outside a job nothing happens."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    line = {"phase": phase, "at": round(at or time.time(), 3), "restart": int(os.environ.get("SLURM_RESTART_COUNT", 0))}
    with contextlib.suppress(OSError), (Path(folder) / NAME).open("a") as file:  # a full disk ends no job for a note
        file.write(json.dumps(line) + "\n")


def read(folder: Path) -> list[dict[str, float | str]]:
    """The lines of a job's folder, whole ones only."""
    found = []
    for line in (folder / NAME).read_bytes().split(b"\n")[:-1] if (folder / NAME).exists() else []:
        with contextlib.suppress(ValueError):  # a full disk has cut it short
            found.append(json.loads(line))
    return found


def durations(folder: Path) -> list[tuple[str, float]]:
    """Seconds from each phase of the last start to the next."""
    lines = read(folder)
    last = [line for line in lines if lines and line["restart"] == lines[-1]["restart"]]
    return [(str(b["phase"]), float(b["at"]) - float(a["at"])) for a, b in itertools.pairwise(last)]
