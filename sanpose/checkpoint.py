"""Checkpoints: written whole or not at all, checked before they are trusted, the last few and the best kept.

A checkpoint is a folder under the run's `checkpoints/`: DeepSpeed's files, each worker's random state,
`weights.safetensors` (the whole network, readable without DeepSpeed) and `manifest.json` with the position in the
data, the metrics, and a SHA-256 of every file. It appears by one rename, so a folder without a dot is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sanpose import disk, shards
from sanpose.engine import Engine
from sanpose.errors import UserError

WEIGHTS = "weights.safetensors"
_DEEPSPEED = "deepspeed"
_MANIFEST = "manifest.json"
_BYTES_PER_PARAMETER = 17  # the weights twice, Adam's two moments, all of four bytes, and some more


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


def save(folder: Path, engine: Engine, position: Position, score: float | None, keep: int) -> Path:
    """Write a checkpoint and remove what the policy no longer keeps. Every worker calls it; folder is shared by all.

    score: lower is better; the best scored checkpoint is kept beside the last `keep`.
    """
    rank, world = engine.place.rank, engine.place.world
    final = folder / f"epoch-{position.epoch:04d}-step-{position.step:06d}"
    part = folder / f".{final.name}.part"
    if rank == 0:
        disk.patiently(folder, lambda: _clear(folder))
        disk.patiently(
            folder,
            lambda: (part / _DEEPSPEED).mkdir(parents=True, exist_ok=True),
            _BYTES_PER_PARAMETER * engine.parameters,
        )
    dist.barrier()
    _let_wait(engine.deepspeed)
    engine.deepspeed.save_checkpoint(str(part), tag=_DEEPSPEED, save_latest=False)
    _torch_save(_random_state(), part / f"random-{rank}.pt")
    dist.barrier()  # of all workers, with Ray Train's time limit: under ZeRO-3 what follows is DeepSpeed's, with NCCL's
    weights = engine.weights()
    if rank == 0:
        disk.patiently(part, lambda: _save_weights(weights, part / WEIGHTS))
    dist.barrier()
    if rank == 0:
        stage = engine.deepspeed.zero_optimization_stage()
        manifest = {"position": asdict(position), "world": world, "zero_stage": stage, "score": score}
        disk.patiently(folder, lambda: _commit(part, final, manifest))
        disk.patiently(folder, lambda: _prune(folder, keep, (position.epoch, position.step)))
    dist.barrier()
    return final


def _clear(folder: Path) -> None:
    """Remove what a process that died has left."""
    for left in folder.glob(".epoch-*.part"):
        shutil.rmtree(left)


def _let_wait(deepspeed: Any) -> None:
    """Let DeepSpeed wait for a file system that is full: a worker would fail, and the others wait for it. Writers that
    were chosen in DeepSpeed's configuration stay as they are."""
    from deepspeed.runtime.checkpoint_engine import TorchCheckpointEngine

    deepspeed._copy_recovery_script = lambda _: None  # scripts to join the shards, which `WEIGHTS` has joined
    writer = deepspeed.checkpoint_engine
    if type(writer) is TorchCheckpointEngine:
        writer.save = lambda state_dict, path: _torch_save(state_dict, Path(path))


def _torch_save(value: Any, path: Path) -> None:
    disk.patiently(path.parent, lambda: _write(path, lambda file: _fill(file, value)))


def _fill(file: IO[bytes], value: Any) -> None:
    try:
        torch.save(value, file)
    except RuntimeError as error:  # torch hides what its file has said
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file to the disk. What could not be written whole takes no room."""
    try:
        with path.open("wb") as out:
            fill(out)
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _save_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    try:
        save_file(weights, path)
    except SafetensorError as error:
        met = re.search(r"\(os error (\d+)\)", str(error))
        if not met:
            raise
        raise OSError(int(met[1]), os.strerror(int(met[1])), str(path)) from error
    path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors would have nobody else read it
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _commit(part: Path, final: Path, manifest: dict[str, Any]) -> None:
    if not part.exists() and damage(final) is None:  # renamed at the last try, which the file system did not answer
        return
    files = sorted(p for p in part.rglob("*") if p.is_file() and p.name != _MANIFEST)
    manifest["files"] = {str(p.relative_to(part)): {"sha256": _digest(p), "bytes": p.stat().st_size} for p in files}
    for path in files:  # those that another of DeepSpeed's writers has made
        with path.open("rb") as written:
            os.fsync(written.fileno())
    _write(part / _MANIFEST, lambda out: out.write(json.dumps(manifest, indent=1).encode()))
    shutil.rmtree(final, ignore_errors=True)
    os.replace(part, final)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prune(folder: Path, keep: int, current: tuple[int, int]) -> None:
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
        manifest = json.loads((path / _MANIFEST).read_text())
        position = Position(**manifest["position"])
        return Checkpoint(path, position, manifest["world"], manifest["zero_stage"], manifest["score"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint folder, in words, or None when every file is as it was written."""
    if _peek(path) is None:
        return f"{_MANIFEST} is missing or unreadable"
    for name, said in json.loads((path / _MANIFEST).read_text())["files"].items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != said["bytes"]:
            return f"{name} has {file.stat().st_size} bytes, not {said['bytes']}: it is cut short or overwritten"
        if _digest(file) != said["sha256"]:
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
    weights: dict[str, torch.Tensor] = load_file(checkpoint.path / WEIGHTS)
    return weights


def restore(checkpoint: Checkpoint, engine: Engine) -> Position:
    """Put the engine and the random state where the checkpoint left them. Every worker calls it.

    Another number of workers than wrote it get the same network and optimiser, cut anew. Raises UserError when it was
    written with another ZeRO stage, or cannot be read.
    """
    place, stage = engine.place, engine.deepspeed.zero_optimization_stage()
    if checkpoint.zero_stage != stage:
        raise UserError(
            f"this checkpoint was written with ZeRO stage {checkpoint.zero_stage}, and is read with stage {stage}",
            where=checkpoint.path,
            expected="the same stage",
            hint=f"deepspeed=zero{checkpoint.zero_stage}",
        )
    if stage > 0 and checkpoint.world != place.world:
        shards.load(checkpoint.path / _DEEPSPEED, load_weights(checkpoint), checkpoint.world, engine)
    else:
        loaded, _ = engine.deepspeed.load_checkpoint(str(checkpoint.path), tag=_DEEPSPEED)
        if loaded is None:
            raise UserError("DeepSpeed cannot read the checkpoint", where=checkpoint.path)
    random = checkpoint.path / f"random-{place.rank}.pt"
    if random.is_file():
        _set_random_state(torch.load(random, weights_only=True))
    return checkpoint.position


def _random_state() -> dict[str, Any]:
    state = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
