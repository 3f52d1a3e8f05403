"""Which checkpoints of a run that has ended are worth their disk: read from the manifests, without torch."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from sanpose.errors import UserError

KINDS = ("best", "last")


def kinds(text: str) -> tuple[str, ...]:
    """ "best,last", "best", "last", "none" or "all" as kinds to keep. Raises UserError for anything else."""
    if text == "none":
        return ()
    wanted = ("all",) if text == "all" else tuple(part.strip() for part in text.split(","))
    if wanted != ("all",) and not set(wanted) <= set(KINDS):
        raise UserError(
            f"'{text}' does not say which checkpoints to keep", expected="best, last, best,last, all or none"
        )
    return wanted


def any_left(checkpoints: Path) -> bool:
    """Whether a run has checkpoints, or parts of one."""
    return checkpoints.is_dir() and any(checkpoints.iterdir())


def trim(checkpoints: Path, kept: Collection[str]) -> int:
    """Remove a run's checkpoints but the kept kinds; the bytes that this freed.

    best: of the lowest score; where none was scored, the last. A folder without a readable manifest is removed too.
    """
    if "all" in kept or not checkpoints.is_dir():
        return 0
    folders = sorted(p for p in checkpoints.iterdir() if p.is_dir())
    scores = {p: score for p in folders if not p.name.startswith(".") for score in [_score(p)] if score is not ...}
    wanted = set()
    if scores and "last" in kept:
        wanted.add(max(scores))
    if scores and "best" in kept:
        scored = {p: float(s) for p, s in scores.items() if isinstance(s, (int, float))}
        wanted.add(min(scored, key=lambda p: scored[p]) if scored else max(scores))
    return sum(_remove(p) for p in folders if p not in wanted)


def _score(folder: Path) -> object:
    """A checkpoint's score, None where it has none, ... where there is no manifest."""
    try:
        return json.loads((folder / "manifest.json").read_text())["score"]
    except (OSError, ValueError, KeyError):
        return ...


def _remove(folder: Path) -> int:
    try:
        freed = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        hidden = folder if folder.name.startswith(".") else folder.with_name(f".{folder.name}.part")
        os.replace(folder, hidden)  # a folder without a dot is complete
    except FileNotFoundError:  # its trainer, told to end, is removing it itself
        return 0
    shutil.rmtree(hidden, ignore_errors=True)
    return freed
