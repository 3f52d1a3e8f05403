"""The checkpoints of a run: their manifest, which ones are sound, and which are kept. Free of torch.

A checkpoint is a folder under the run's `checkpoints/`: DeepSpeed's files, each worker's random state,
`weights.safetensors` (the whole network, readable without DeepSpeed) and `manifest.json` with the position in the
data, the score, and a SHA-256 of every file. A checkpoint appears by one rename: a folder without a dot is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sanpose.errors import UserError

if TYPE_CHECKING:
    import torch

WEIGHTS = "weights.safetensors"
KINDS = ("best", "last")
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Position:
    """The next (epoch, step) to train, and the epoch's running sums up to there."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its folder and what its manifest says. score: lower is better; None without evaluation."""

    path: Path
    position: Position
    world: int
    zero_stage: int
    score: float | None

    @property
    def order(self) -> tuple[int, int]:
        return self.position.epoch, self.position.step

    def resumed_by(self, workers: int) -> str:
        """A line for the journal of a run that so many workers resume."""
        line = f"resumes from checkpoint {self.path.name}"
        if workers == self.world:
            return line
        return f"{line}, written by {self.world} worker{'s' if self.world > 1 else ''}, now {workers}"


def folder_name(position: Position) -> str:
    """The name of a checkpoint's folder: names sort by position."""
    return f"epoch-{position.epoch:04d}-step-{position.step:06d}"


def part_of(folder: Path) -> Path:
    """The hidden folder in which a checkpoint is written before it is complete, or removed."""
    return folder if folder.name.startswith(".") else folder.with_name(f".{folder.name}.part")


def manifest_files(part: Path) -> list[Path]:
    """The files that a manifest describes: all but the manifest."""
    return sorted(p for p in part.rglob("*") if p.is_file() and p.name != _MANIFEST)


def manifest(part: Path, checkpoint: Checkpoint) -> tuple[Path, bytes]:
    """Where the manifest of a checkpoint in `part` goes, and its content, with a checksum of every file."""
    files = {str(p.relative_to(part)): {"sha256": _sha256(p), "bytes": p.stat().st_size} for p in manifest_files(part)}
    content = {name: value for name, value in asdict(checkpoint).items() if name != "path"} | {"files": files}
    return part / _MANIFEST, json.dumps(content, indent=1).encode()


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint folder, in words; None when every file is as it was written."""
    if _peek(path) is None:
        return f"{_MANIFEST} is missing or unreadable"
    for name, entry in json.loads((path / _MANIFEST).read_text())["files"].items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != entry["bytes"]:
            return f"{name} has {file.stat().st_size} bytes, not {entry['bytes']}: it is cut short or overwritten"
        if _sha256(file) != entry["sha256"]:
            return f"{name} does not match its checksum"
    return None


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest undamaged checkpoint, None if there is none; and a line for each damaged checkpoint passed over."""
    folders = list(reversed(_folders(folder)))
    damaged: list[str] = []
    for path in folders:
        problem = damage(path)
        if problem is None:
            return _peek(path), damaged
        last = path == folders[-1]
        instead = "no other is left: the training starts from the beginning" if last else "the one before is used"
        damaged.append(f"checkpoint {path.name} is damaged ({problem}); {instead}")
    return None, damaged


def choose(folder: Path, which: str) -> Checkpoint:
    """The checkpoint named `last`, `best`, or by its folder, checked. Raises UserError when it cannot be used."""
    complete = _complete(folder)
    by_name = {c.path.name: c for c in complete}
    if complete:
        by_name |= {"last": complete[-1], "best": _best(complete)}
    if which not in by_name:
        raise UserError(
            f"there is no checkpoint '{which}'", where=folder, expected=", ".join(by_name) or "a run that has trained"
        )
    chosen = by_name[which]
    problem = damage(chosen.path)
    if problem:
        others = [c.path.name for c in complete if c.path != chosen.path]
        raise UserError(f"the checkpoint is damaged: {problem}", where=chosen.path, hint=", ".join(others) or None)
    return chosen


def load_weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The whole network's parameters and buffers, on the CPU."""
    from safetensors.torch import load_file

    weights: dict[str, torch.Tensor] = load_file(checkpoint.path / WEIGHTS)
    return weights


def kinds(text: str) -> tuple[str, ...]:
    """Parse "best,last", "best", "last", "none" or "all" as kinds to keep. Raises UserError for anything else."""
    if text == "none":
        return ()
    chosen = ("all",) if text == "all" else tuple(part.strip() for part in text.split(","))
    if chosen != ("all",) and not set(chosen) <= set(KINDS):
        raise UserError(
            f"'{text}' does not say which checkpoints to keep", expected="best, last, best,last, all or none"
        )
    return chosen


def prune(folder: Path, keep: int, current: Position) -> None:
    """Keep the last `keep` checkpoints up to the current position, and the best of these. Later ones are damaged."""
    complete = _complete(folder)
    usable = [c for c in complete if c.order <= (current.epoch, current.step)]
    kept_paths = {c.path for c in usable[-keep:]}
    if any(c.score is not None for c in usable):
        kept_paths.add(_best(usable).path)
    for checkpoint in complete:
        if checkpoint.path not in kept_paths:
            hidden = part_of(checkpoint.path)
            os.replace(checkpoint.path, hidden)
            shutil.rmtree(hidden)


def exist(folder: Path) -> bool:
    """Whether a run has checkpoints, or parts of a checkpoint."""
    return folder.is_dir() and any(folder.iterdir())


def trim(folder: Path, keep: Collection[str]) -> int:
    """Remove the checkpoints of a finished run, except the kinds to keep; returns the freed bytes.

    best: the lowest score; the last one where none has a score. A folder without a readable manifest is removed too.
    """
    if "all" in keep or not folder.is_dir():
        return 0
    complete = _complete(folder)
    kept_paths = set()
    if complete and "last" in keep:
        kept_paths.add(complete[-1].path)
    if complete and "best" in keep:
        kept_paths.add(_best(complete).path)
    return sum(_remove(p) for p in folder.iterdir() if p.is_dir() and p not in kept_paths)


def _best(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The checkpoint of the lowest score; the last one where none has a score."""
    scored = [c for c in checkpoints if c.score is not None]
    return min(scored, key=lambda c: c.score or 0.0) if scored else checkpoints[-1]


def _complete(folder: Path) -> list[Checkpoint]:
    """The checkpoints with a readable manifest, in the order of their positions. Their files are not checked."""
    return [c for c in map(_peek, _folders(folder)) if c]


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("epoch-*") if p.is_dir())


def _peek(path: Path) -> Checkpoint | None:
    """What the manifest says, without checking the files; None where the manifest cannot be read."""
    try:
        content = json.loads((path / _MANIFEST).read_text())
        position = Position(**content["position"])
        return Checkpoint(path, position, content["world"], content["zero_stage"], content["score"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove(folder: Path) -> int:
    try:
        freed = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        hidden = part_of(folder)
        os.replace(folder, hidden)  # a folder without a dot is complete
    except FileNotFoundError:  # a pruned trial's process is removing the folder at the same time
        return 0
    shutil.rmtree(hidden, ignore_errors=True)
    return freed


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
