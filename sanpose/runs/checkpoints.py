"""The checkpoints of a run: their manifest, which are sound, and which are kept. Free of torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sanpose.errors import UserError

if TYPE_CHECKING:
    import torch

WEIGHTS = "weights.safetensors"


MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Position:
    """The next (epoch, step) to train, and the epoch's running sums up to there."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its folder and what its manifest says."""

    path: Path
    position: Position
    world: int
    zero_stage: int
    score: float | None

    @property
    def order(self) -> tuple[int, int]:
        return self.position.epoch, self.position.step

    def continued_by(self, workers: int) -> str:
        """A line for the journal of a run that so many workers continue."""
        line = f"continues from checkpoint {self.path.name}"
        if workers == self.world:
            return line
        return f"{line}, written by {self.world} worker{'s' if self.world > 1 else ''}, now {workers}"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def prune(folder: Path, keep: int, current: tuple[int, int]) -> None:
    """Keep the last `keep` up to the current one and the best of them. A later one was passed over as damaged."""
    found = [c for c in (_peek(p) for p in _folders(folder)) if c]
    usable = [c for c in found if c.order <= current]
    scored = [c for c in usable if c.score is not None]
    kept = {c.path for c in usable[-keep:]}
    if scored:
        kept.add(min(scored, key=lambda c: c.score or 0.0).path)
    for checkpoint in found:
        if checkpoint.path not in kept:
            hidden = checkpoint.path.with_name(f".{checkpoint.path.name}.part")
            os.replace(checkpoint.path, hidden)
            shutil.rmtree(hidden)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("epoch-*") if p.is_dir())


def _peek(path: Path) -> Checkpoint | None:
    """What the manifest says, without checking the files; None where it cannot be read."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        position = Position(**manifest["position"])
        return Checkpoint(path, position, manifest["world"], manifest["zero_stage"], manifest["score"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint folder, in words, or None when every file is as it was written."""
    if _peek(path) is None:
        return f"{MANIFEST} is missing or unreadable"
    for name, said in json.loads((path / MANIFEST).read_text())["files"].items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != said["bytes"]:
            return f"{name} has {file.stat().st_size} bytes, not {said['bytes']}: it is cut short or overwritten"
        if sha256(file) != said["sha256"]:
            return f"{name} does not match its checksum"
    return None


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest undamaged checkpoint, None if there is none; and a line for each damaged one that was passed over."""
    found = list(reversed(_folders(folder)))
    damaged: list[str] = []
    for path in found:
        wrong = damage(path)
        if wrong is None:
            return _peek(path), damaged
        last = path == found[-1]
        instead = "no other is left: the training begins anew" if last else "the one before is used"
        damaged.append(f"checkpoint {path.name} is damaged ({wrong}); {instead}")
    return None, damaged


def choose(folder: Path, which: str) -> Checkpoint:
    """The checkpoint named `last`, `best`, or by its folder, checked. Raises UserError when it cannot be used."""
    found = [c for c in (_peek(p) for p in _folders(folder)) if c]
    scored = [c for c in found if c.score is not None]
    by_name = {c.path.name: c for c in found}
    if found:
        by_name["last"] = found[-1]
        by_name["best"] = min(scored, key=lambda c: c.score or 0.0) if scored else found[-1]
    if which not in by_name:
        raise UserError(
            f"there is no checkpoint '{which}'", where=folder, expected=", ".join(by_name) or "a run that has trained"
        )
    wrong = damage(by_name[which].path)
    if wrong:
        names = [c.path.name for c in found if c.path != by_name[which].path]
        raise UserError(f"the checkpoint is damaged: {wrong}", where=by_name[which].path, hint=", ".join(names) or None)
    return by_name[which]


def load_weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The whole network's parameters and buffers, on the CPU."""
    from safetensors.torch import load_file

    weights: dict[str, torch.Tensor] = load_file(checkpoint.path / WEIGHTS)
    return weights


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
