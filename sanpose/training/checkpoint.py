"""Save and restore a checkpoint: DeepSpeed's files, random states, the whole weights. Whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import save_file

from sanpose import disk
from sanpose.errors import UserError
from sanpose.runs.checkpoints import MANIFEST, WEIGHTS, Checkpoint, Position, damage, load_weights, prune, sha256
from sanpose.training import reshard
from sanpose.training.engine import Engine

_DEEPSPEED = "deepspeed"


_BYTES_PER_PARAMETER = 17  # the weights twice, Adam's two moments, all of four bytes, and some more


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
        disk.patiently(folder, lambda: prune(folder, keep, (position.epoch, position.step)))
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
    files = sorted(p for p in part.rglob("*") if p.is_file() and p.name != MANIFEST)
    manifest["files"] = {str(p.relative_to(part)): {"sha256": sha256(p), "bytes": p.stat().st_size} for p in files}
    for path in files:  # those that another of DeepSpeed's writers has made
        with path.open("rb") as written:
            os.fsync(written.fileno())
    _write(part / MANIFEST, lambda out: out.write(json.dumps(manifest, indent=1).encode()))
    shutil.rmtree(final, ignore_errors=True)
    os.replace(part, final)


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
        reshard.load(checkpoint.path / _DEEPSPEED, load_weights(checkpoint), checkpoint.world, engine)
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
