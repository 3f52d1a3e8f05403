"""When a job reached what: lines in its folder's phases.jsonl, from submission to the first training step."""

from __future__ import annotations

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
    with (Path(folder) / NAME).open("a") as file:
        file.write(json.dumps(line) + "\n")


def read(folder: Path) -> list[dict[str, float | str]]:
    """The lines of a job's folder, whole ones only."""
    path = folder / NAME
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def durations(folder: Path) -> list[tuple[str, float]]:
    """Seconds from each phase of the last start to the next."""
    lines = read(folder)
    last = [line for line in lines if lines and line["restart"] == lines[-1]["restart"]]
    return [(str(b["phase"]), float(b["at"]) - float(a["at"])) for a, b in itertools.pairwise(last)]
