"""Reshard the optimiser's state for another number of workers: join the shards of a checkpoint, and cut them again.

Under ZeRO every worker writes a shard: its part of Adam's two running means. Stages 1 and 2 put all parameters into one
line and cut the line into one part per worker; stage 3 does so with each parameter. Zeros pad a line to a divisible
length. The parameters come from the file of the whole network: they are trained in fp32, and the shards hold copies.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sanpose.errors import UserError
from sanpose.training.engine import Engine

Whole = Mapping[str, torch.Tensor]
"""A value of every element of the network's parameters, by the parameter's name."""

_MEANS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class _Names:
    """DeepSpeed's names in a shard of one ZeRO stage, and the file in which the first worker writes the shapes."""

    adam: str
    weights: str
    shapes_file: str


_LINE = _Names("base_optimizer_state", "single_partition_of_fp32_groups", "mp_rank_00_model_states.pt")
_EACH = _Names("optimizer_state_dict", "fp32_flat_groups", "zero_pp_rank_0_mp_rank_00_model_states.pt")


def _names(stage: int) -> _Names:
    return _EACH if stage == 3 else _LINE


def load(folder: Path, weights: Whole, world: int, engine: Engine) -> None:
    """Load the state that `world` workers with the same ZeRO stage, above 0, have saved. Every worker calls this.

    folder: DeepSpeed's files of the checkpoint. weights: its parameters and buffers. Reading a shard runs no code from
    the file. Raises UserError when the shards are not in the form of this version of DeepSpeed.
    """
    deepspeed, rank = engine.deepspeed, engine.place.rank
    stage = deepspeed.zero_optimization_stage()
    if deepspeed.zero_nvme_offload_optimizer():
        raise _unreadable(folder, world, "its optimiser lies on NVMe")
    try:
        adam, steps = _joined(folder, stage, world)
        shard = _shard(engine, {"weights": weights, **adam}, steps)
    except (OSError, LookupError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise _unreadable(folder, world, f"{type(error).__name__}: {error}") from error
    if stage == 3:
        deepspeed.optimizer.checkpoint_event_prologue()
    deepspeed.load_module_state_dict({"module": weights}, fetch_z3_params=stage == 3)
    deepspeed.optimizer.load_state_dict([shard] * (rank + 1), load_from_fp32_weights=True)
    if stage == 3:
        deepspeed.optimizer.checkpoint_event_epilogue()
    deepspeed.global_steps = int(steps)


def _unreadable(folder: Path, world: int, reason: str) -> UserError:
    return UserError(
        f"the optimiser's state of {world} workers cannot be resharded for another number of workers: {reason}",
        where=folder,
        expected="the shards that this version of DeepSpeed writes",
        hint=f"train.workers={world}",
    )


@dataclass(frozen=True)
class _Line:
    """Flattened parameters in one line, which is cut into a part of `part` values for each worker."""

    spans: Mapping[str, slice]
    part: int

    def join(self, parts: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        line = torch.cat(list(parts))
        return {name: line[span] for name, span in self.spans.items()}

    def cut(self, whole: Whole, rank: int, world: int) -> torch.Tensor:
        line = torch.zeros(self.part * world)
        for name, span in self.spans.items():
            line[span] = whole[name].reshape(-1)
        return line[self.part * rank : self.part * (rank + 1)]


def _lines(stage: int, sizes: Mapping[str, int], gaps: Sequence[int], world: int, part: int) -> list[_Line]:
    """The lines of a group of parameters, in DeepSpeed's order, with a gap after each parameter."""
    if stage == 3:
        return [_Line({name: slice(0, size)}, math.ceil(size / world)) for name, size in sizes.items()]
    spans, at = {}, 0
    for (name, size), gap in zip(sizes.items(), gaps, strict=True):
        spans[name] = slice(at, at + size)
        at += size + gap
    return [_Line(spans, part)]


def _groups(
    stage: int, shapes: Sequence[Mapping[str, torch.Size]], shard: Mapping[str, Any], world: int
) -> list[list[_Line]]:
    """The lines of each group of parameters that DeepSpeed flattens. Raises LookupError when the lengths differ."""
    groups = []
    for index, (named, flat) in enumerate(zip(shapes, shard[_names(stage).weights], strict=True)):
        sizes = {name: math.prod(shape) for name, shape in named.items()}
        gaps = shard["param_alignment_paddings"][index] if stage < 3 else ()
        length = flat.numel() + (shard["group_paddings"][index] if stage < 3 else 0)
        lines = _lines(stage, sizes, gaps, world, length)
        if sum(line.part for line in lines) != length:
            raise LookupError(f"group {index} has {length} values")
        groups.append(lines)
    return groups


def _joined(folder: Path, stage: int, world: int) -> tuple[dict[str, dict[str, torch.Tensor]], float]:
    """Adam's two means of the whole network, and its number of steps, from the shards of all workers."""
    names = _names(stage)
    shards = [
        _read(folder / f"zero_pp_rank_{r}_mp_rank_00_optim_states.pt")["optimizer_state_dict"] for r in range(world)
    ]
    shapes = _read(folder / names.shapes_file)["param_shapes"]
    states = [shard[names.adam]["state"] for shard in shards]
    means: dict[str, dict[str, torch.Tensor]] = {mean: {} for mean in _MEANS}
    for index, lines in enumerate(_groups(stage, shapes, shards[0], world)):
        for mean, whole in means.items():
            at = 0
            for line in lines:
                whole |= line.join([state[index][mean][at : at + line.part] for state in states])
                at += line.part
    return means, float(states[0][0]["step"])


def _shard(engine: Engine, whole: Mapping[str, Whole], steps: float) -> dict[str, Any]:
    """The shard of this worker, as if the present number of workers had written the checkpoint."""
    stage = engine.deepspeed.zero_optimization_stage()
    names, shard = _names(stage), engine.deepspeed.optimizer.state_dict()
    place, shapes = engine.place, engine.deepspeed._get_zero_param_shapes()
    cut = [
        {kind: torch.cat([line.cut(w, place.rank, place.world) for line in lines]) for kind, w in whole.items()}
        for lines in _groups(stage, shapes, shard, place.world)
    ]
    state = {i: {"step": torch.tensor(steps), **{mean: c[mean] for mean in _MEANS}} for i, c in enumerate(cut)}
    return {**shard, names.adam: {**shard[names.adam], "state": state}, names.weights: [c["weights"] for c in cut]}


def _read(path: Path) -> dict[str, Any]:
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    safe_classes = [LossScaler, DynamicLossScaler, ZeroStageEnum, fragment_address]
    with torch.serialization.safe_globals(safe_classes):
        read: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return read
