"""Batch normalisation over the global batch on any device; torch's SyncBatchNorm runs only on CUDA.

Two workers with half a batch each compute what one worker computes with the whole batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.nn.functional import all_reduce


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d with training statistics over the equal parts of all workers; input (b, C, H, W)."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or dist.get_world_size() == 1:
            return super().forward(input)
        x, world = input.float(), dist.get_world_size()
        own_var, own_mean = torch.var_mean(x, (0, 2, 3), correction=0)
        mean = all_reduce(own_mean) / world  # type: ignore[no-untyped-call]
        # E[x^2] - E[x]^2 would cancel to rounding error in a channel that hardly varies.
        var = all_reduce(own_var + (own_mean - mean).square()) / world  # type: ignore[no-untyped-call]
        self._track(mean.detach(), var.detach(), x.numel() // x.shape[1] * dist.get_world_size())
        scale = self.weight * torch.rsqrt(var + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift.view(1, -1, 1, 1), x, scale.view(1, -1, 1, 1)).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, var: torch.Tensor, count: int) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        momentum = self.momentum if self.momentum is not None else 0.1
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var * count / max(count - 1, 1), momentum)
        self.num_batches_tracked += 1


def synchronised(network: nn.Module, device: torch.device, world: int) -> nn.Module:
    """The network with its batch normalisations synchronised over the workers; parameters and buffers stay the same."""
    if world == 1:
        return network
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d
    return network
