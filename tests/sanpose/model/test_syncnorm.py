"""Synchronised batch normalisation on CPUs: two processes with half a batch each against one with the whole."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from sanpose.model.syncnorm import synchronised


def _batch(offset: float) -> torch.Tensor:
    return offset + torch.randn(8, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 1e-2


def _half(rank: int, store: str, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    recorded = {}
    for offset in (0.0, 300.0):
        norm = synchronised(nn.BatchNorm2d(3), torch.device("cpu"), 2)
        x = _batch(offset)[rank * 4 : rank * 4 + 4].requires_grad_()
        y = norm(x)
        (y * torch.arange(60.0).view(3, 4, 5)).square().mean().backward()
        recorded[offset] = (y.detach(), x.grad, norm.weight.grad, norm.running_mean, norm.running_var)
    torch.save(recorded, f"{out}/{rank}.pt")
    dist.destroy_process_group()


def test_two_halves_are_one_whole(tmp_path: Path) -> None:
    mp.start_processes(_half, (str(tmp_path / "store"), str(tmp_path)), nprocs=2, start_method="spawn")
    halves = [torch.load(tmp_path / f"{r}.pt", weights_only=True) for r in (0, 1)]
    for offset in (0.0, 300.0):
        norm, x = nn.BatchNorm2d(3), _batch(offset).requires_grad_()
        y = norm(x)
        (y * torch.arange(60.0).view(3, 4, 5)).square().mean().backward()
        loose = {"rtol": 2e-2, "atol": 2e-2} if offset else {"rtol": 1e-4, "atol": 1e-4}
        one, two = (h[offset] for h in halves)
        assert torch.allclose(torch.cat([one[0], two[0]]), y.detach(), **loose)
        if not offset:
            # Each half's loss is a mean over its half: their sum is twice the whole's.
            assert torch.allclose(torch.cat([one[1], two[1]]) / 2, x.grad, rtol=1e-3, atol=1e-2)
            assert torch.allclose((one[2] + two[2]) / 2, norm.weight.grad, rtol=1e-3)
        assert torch.allclose(one[3], norm.running_mean, rtol=1e-4)
        assert torch.allclose(one[4], norm.running_var, rtol=1e-2)
        assert torch.isfinite(one[0]).all()


def test_one_worker_keeps_torchs_own() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3))
    assert synchronised(network, torch.device("cpu"), 1) is network
    assert type(network[0]) is nn.BatchNorm2d
