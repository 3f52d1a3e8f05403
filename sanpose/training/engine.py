"""The DeepSpeed engine of the network: it runs one optimiser step, on CPU and CUDA."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from sanpose.config.deepspeed import require_memory_to_offload_to
from sanpose.config.schema import Config
from sanpose.data.loader import Batch, normalise
from sanpose.errors import UserError
from sanpose.model.loss import Loss, coordinate_l1
from sanpose.model.network import SAN
from sanpose.model.syncnorm import synchronised

_OTHER_LAUNCHERS = ("OMPI_", "PMI_", "PMIX_", "MPI_", "MV2_", "I_MPI_", "SLURM_")


@dataclass(frozen=True)
class WorkerPlace:
    """Where a worker stands among the workers of its run."""

    rank: int
    world: int
    device: torch.device


def forget_other_launchers() -> None:
    """Remove what mpirun and srun leave in the environment: DeepSpeed would compare its ranks with theirs, and end."""
    for name in [name for name in os.environ if name.startswith(_OTHER_LAUNCHERS)]:
        del os.environ[name]


def single_process(kind: str = "cpu") -> None:
    """Make this process a group of one, on "cpu" or "cuda": for a sweep's trials and for tests, outside Ray Train.

    The group lasts as long as the process: DeepSpeed keeps the first group of a process.
    """
    # DeepSpeed requires LOCAL_RANK; what another launcher has left in these variables is not about this process.
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]


class Engine:
    """A network under DeepSpeed: forward, backward and step, its learning rate, its weights."""

    def __init__(self, config: Config, place: WorkerPlace):
        forget_other_launchers()
        self.config, self.place = config, place
        torch.manual_seed(config.train.seed)
        san = SAN(config.model, config.data.input_height, config.data.input_width).to(place.device)
        san.backbone.recompute = config.train.recompute
        self._autocast = config.train.precision == "bf16"
        if self._autocast:  # inside the module: DeepSpeed switches off an autocast that surrounds it on CUDA
            cast = torch.autocast(place.device.type, torch.bfloat16)
            san.forward = cast(san.forward)  # type: ignore[method-assign]
        self.parameters = sum(p.numel() for p in san.parameters())
        network = synchronised(san, place.device, place.world)
        self.deepspeed = _initialise(config, network, place)

    @property
    def network(self) -> SAN:
        module: SAN = self.deepspeed.module
        return module

    def set_learning_rate(self, rate: float) -> None:
        for group in self.deepspeed.optimizer.param_groups:
            group["lr"] = rate

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Coordinates (b, J, 3) of uint8 images (b, H, W, 3), on this worker's device."""
        coordinates: torch.Tensor = self.deepspeed(normalise(images.to(self.place.device, non_blocking=True)))
        return coordinates

    @torch.no_grad()
    def predict(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Coordinates (b, J, 3) and joint scores (b, J) of uint8 images (b, H, W, 3)."""
        with torch.autocast(self.place.device.type, torch.bfloat16, enabled=self._autocast):
            return self.network.coordinates_and_scores(normalise(images.to(self.place.device)))

    def micro_step(self, batch: Batch) -> Loss:
        """Train on one part of a global batch, the last of which applies the gradients. Returns detached losses."""
        images, target, weight = batch
        device = self.place.device
        loss = coordinate_l1(self.forward(images), target.to(device), weight.to(device))
        self.deepspeed.backward(loss.total)
        self.deepspeed.step()
        return Loss(*(part.detach() for part in loss))

    def weights(self) -> dict[str, torch.Tensor]:
        """The whole network's parameters and buffers on the CPU (every worker must call this; ZeRO-3 gathers them)."""
        import deepspeed

        sharded = self.deepspeed.zero_optimization_stage() == 3
        with deepspeed.zero.GatheredParameters(list(self.network.parameters()), enabled=sharded):
            return {k: v.detach().cpu().contiguous().clone() for k, v in self.network.state_dict().items()}

    def delta(self) -> float | None:
        """The attention's trainable scalar, or None without attention (every worker must call this)."""
        import deepspeed

        delta = self.network.delta
        if delta is None:
            return None
        with deepspeed.zero.GatheredParameters([delta], enabled=self.deepspeed.zero_optimization_stage() == 3):
            return float(delta.detach().reshape(-1)[0])

    def close(self) -> None:
        self.deepspeed.destroy()


def _initialise(config: Config, network: torch.nn.Module, place: WorkerPlace) -> Any:
    """DeepSpeed's engine. Raises UserError for a configuration that DeepSpeed or this device refuses."""
    require_memory_to_offload_to(config, place.device.type)
    if place.device.type == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed
    import deepspeed.ops
    from deepspeed.runtime.config import DeepSpeedConfigError

    if place.device.type == "cpu":
        # Compiling this operator takes half a minute at its first use; gloo gives the same losses.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    train = config.train
    settings = {
        "train_micro_batch_size_per_gpu": train.batch_size // (place.world * train.accumulation),
        "gradient_accumulation_steps": train.accumulation,
        "gradient_clipping": train.clip,
        "steps_per_print": 10**9,
        "zero_force_ds_cpu_optimizer": False,  # offloading works with torch's Adam too
        **config.deepspeed,
    }
    optimizer = torch.optim.Adam(network.parameters(), lr=train.learning_rate, fused=True)
    try:
        engine, *_ = deepspeed.initialize(model=network, optimizer=optimizer, config=settings, dist_init_required=False)
    except (ValueError, DeepSpeedConfigError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"DeepSpeed refuses its configuration: {reason}",
            where=f"deepspeed={config.deepspeed}",
            expected="DeepSpeed's own keys and values",
        ) from error
    if place.world == 1 and engine.zero_optimization_stage() == 0:
        engine.enable_backward_allreduce = False  # with one worker it would only copy every gradient twice
    return engine
