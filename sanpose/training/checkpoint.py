"""Save and restore a checkpoint: DeepSpeed's files, random states, the whole weights. `runs.checkpoints` says what a
checkpoint is."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import save_file

from sanpose import disk
from sanpose.errors import UserError
from sanpose.runs import checkpoints
from sanpose.runs.checkpoints import WEIGHTS, Checkpoint, Position
from sanpose.training import deepspeed_patch, reshard
from sanpose.training.engine import Engine

_DEEPSPEED = "deepspeed"
_BYTES_PER_PARAMETER = 17  # twice the weights and Adam's two moments, each of four bytes, and a reserve


def save(folder: Path, engine: Engine, position: Position, score: float | None, keep: int) -> Path:
    """Write a checkpoint, and remove the checkpoints that are no longer to be kept. Every worker calls this; all share
    the folder.

    score: lower is better; the checkpoint of the best score is kept beside the last `keep`.
    """
    rank, world = engine.place.rank, engine.place.world
    stage = engine.deepspeed.zero_optimization_stage()
    checkpoint = Checkpoint(folder / checkpoints.folder_name(position), position, world, stage, score)
    part = checkpoints.part_of(checkpoint.path)
    if rank == 0:
        disk.patiently(folder, lambda: _remove_parts(folder))
        disk.patiently(
            folder,
            lambda: (part / _DEEPSPEED).mkdir(parents=True, exist_ok=True),
            _BYTES_PER_PARAMETER * engine.parameters,
        )
    dist.barrier()
    deepspeed_patch.wait_for_disk(engine.deepspeed)
    engine.deepspeed.save_checkpoint(str(part), tag=_DEEPSPEED, save_latest=False)
    deepspeed_patch.save(_random_state(), part / f"random-{rank}.pt")
    dist.barrier()  # with Ray Train's time limit; under ZeRO-3 the next step gathers weights, with NCCL's time limit
    weights = engine.weights()
    if rank == 0:
        disk.patiently(part, lambda: _save_weights(weights, part / WEIGHTS))
    dist.barrier()
    if rank == 0:
        disk.patiently(folder, lambda: _commit(part, checkpoint))
        disk.patiently(folder, lambda: checkpoints.prune(folder, keep, position))
    dist.barrier()
    return checkpoint.path


def _remove_parts(folder: Path) -> None:
    """Remove the incomplete checkpoints of a dead process."""
    for part in folder.glob(".epoch-*.part"):
        shutil.rmtree(part)


def _save_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    try:
        save_file(weights, path)
    except SafetensorError as error:
        code = re.search(r"\(os error (\d+)\)", str(error))
        if not code:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
    path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors lets nobody else read the file
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _commit(part: Path, checkpoint: Checkpoint) -> None:
    # An earlier try may have renamed the folder although the file system did not answer.
    if not part.exists() and checkpoints.damage(checkpoint.path) is None:
        return
    for path in checkpoints.manifest_files(part):  # another DeepSpeed writer may not have flushed them
        with path.open("rb") as written:
            os.fsync(written.fileno())
    path, content = checkpoints.manifest(part, checkpoint)
    deepspeed_patch.write(path, lambda out: out.write(content))
    shutil.rmtree(checkpoint.path, ignore_errors=True)
    os.replace(part, checkpoint.path)


def restore(checkpoint: Checkpoint, engine: Engine) -> Position:
    """Restore the engine and the random state from a checkpoint. Every worker calls this.

    For a different number of workers the optimiser's state is resharded. Raises UserError when the checkpoint
    was written with another ZeRO stage, or cannot be read.
    """
    place, stage = engine.place, engine.deepspeed.zero_optimization_stage()
    if checkpoint.zero_stage != stage:
        raise UserError(
            f"the checkpoint was written with ZeRO stage {checkpoint.zero_stage}",
            where=checkpoint.path,
            expected=f"the configured stage {stage}",
            hint=f"deepspeed=zero{checkpoint.zero_stage}",
        )
    if stage > 0 and checkpoint.world != place.world:
        reshard.load(checkpoint.path / _DEEPSPEED, checkpoints.load_weights(checkpoint), checkpoint.world, engine)
    else:
        loaded, _ = engine.deepspeed.load_checkpoint(str(checkpoint.path), tag=_DEEPSPEED)
        if loaded is None:
            raise UserError("DeepSpeed cannot read the checkpoint", where=checkpoint.path)
    random = checkpoint.path / f"random-{place.rank}.pt"
    if random.is_file():
        _set_random_state(torch.load(random, weights_only=True))
    return checkpoint.position


def _random_state() -> dict[str, torch.Tensor]:
    state = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
