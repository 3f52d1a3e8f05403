"""Soft-argmax: from J volumes of logits to J points, and its gradient, without storing a normalised volume.

The expectation of a coordinate under a softmax over a volume needs only two marginals of the exponentials, over the
image plane and over depth (Sun et al. 2018, "Integral human pose regression"; the paper's Eq. 5 and 6). The code
therefore processes the volume in tiles that fit a processor's cache. The forward pass stores the marginals and discards
the exponentials; the backward pass computes the exponentials again. Knows both memory layouts of a (B, J*D, H, W)
tensor and reads either without a copy. Does not know images, crops or millimetres.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

_LOG2E = math.log2(math.e)
TILE_ON_CPU = 2**19  # elements, 2 MB in float32: fits a cache, and is large enough for few barriers between threads
_TILE_ELSEWHERE = 2**26  # on a GPU the cost is per kernel launch


def axis(n: int, like: Tensor) -> Tensor:
    """Coordinates (n,) of the bins along one axis: i/n - 0.5, so that the largest is (n-1)/n - 0.5."""
    return torch.arange(n, dtype=like.dtype, device=like.device) / n - 0.5


def soft_argmax(logits: Tensor, joints: int, depth: int) -> Tensor:
    """Expected coordinates (B, J, 3) of the softmax over each joint's volume (x, y, z along W, H, D).

    logits: (B, J*D, H, W), channel j*D + d, contiguous or channels-last, float32, bfloat16, float16 or float64. The
    result is float32 (float64 for float64 logits), each coordinate index/size - 0.5. Equal inputs give equal bits.
    """
    if torch.compiler.is_compiling():  # an exporter needs one graph of plain operators
        return soft_argmax_plain(logits, joints, depth)
    coordinates: Tensor = _SoftArgmax.apply(logits, joints, depth)
    return coordinates


@torch.no_grad()
def soft_argmax_scores(logits: Tensor, joints: int, depth: int) -> tuple[Tensor, Tensor]:
    """`soft_argmax` without a gradient, and scores (B, J) in [0, 1]: the peak of the marginal over the image plane."""
    if torch.compiler.is_compiling():
        plane = _softmax(logits, joints, depth).sum(2)
        return soft_argmax_plain(logits, joints, depth), plane.amax((2, 3))
    coordinates, _, _, scores = _expectations(logits, joints, depth)
    return coordinates, scores


def soft_argmax_plain(logits: Tensor, joints: int, depth: int) -> Tensor:
    """The formula itself, with automatic differentiation: the reference for tests, benchmarks and exporters."""
    p = _softmax(logits, joints, depth)
    h, w = p.shape[3:]
    x = (p.sum((2, 3)) * axis(w, p)).sum(-1)
    y = (p.sum((2, 4)) * axis(h, p)).sum(-1)
    z = (p.sum((3, 4)) * axis(depth, p)).sum(-1)
    return torch.stack((x, y, z), -1)


def _softmax(logits: Tensor, joints: int, depth: int) -> Tensor:
    """The normalised volumes (B, J, D, H, W), at least float32."""
    b, _, h, w = logits.shape
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.to(dtype).reshape(b, joints, -1).softmax(-1).view(b, joints, depth, h, w)


class _Context(FunctionCtx):
    joints: int
    depth: int
    saved_tensors: tuple[Tensor, Tensor, Tensor, Tensor]


class _SoftArgmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, logits: Tensor, joints: int, depth: int) -> Tensor:
        coordinates, peak, total, _ = _expectations(logits, joints, depth)
        ctx.save_for_backward(logits, coordinates, peak, total)
        ctx.joints, ctx.depth = joints, depth
        return coordinates

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None, None]:
        logits, coordinates, peak, total = ctx.saved_tensors
        return _gradient(logits, coordinates, peak, total, gradient, ctx.joints, ctx.depth), None, None


def _volumes(logits: Tensor, joints: int, depth: int) -> tuple[Tensor, list[tuple[slice, slice]]]:
    """The logits as (B, J, D, P), P = H*W, in their own strides, and the tiles of each (J, D, P) as slices of J and P.

    A tile is one block of memory: some joints of a contiguous volume, some positions of a channels-last volume.
    """
    b, channels, h, w = logits.shape
    if channels != joints * depth:
        raise ValueError(f"{channels} channels are not {joints} joints x {depth} depth bins")
    size = TILE_ON_CPU if logits.device.type == "cpu" else _TILE_ELSEWHERE
    everything = slice(None)
    if logits.is_contiguous():
        step = max(1, size // (depth * h * w))
        tiles = [(slice(j, j + step), everything) for j in range(0, joints, step)]
        return logits.view(b, joints, depth, h * w), tiles
    step = max(1, size // channels)
    tiles = [(everything, slice(p, p + step)) for p in range(0, h * w, step)]
    return logits.permute(0, 2, 3, 1).view(b, h * w, joints, depth).permute(0, 2, 3, 1), tiles


def _dense(logits: Tensor) -> Tensor:
    """The logits themselves if they are dense in either layout, else a contiguous copy."""
    dense = logits.is_contiguous() or logits.is_contiguous(memory_format=torch.channels_last)
    return logits if dense else logits.contiguous()


def _exponentials(
    volume: Tensor, tiles: list[tuple[slice, slice]], peak: Tensor
) -> Iterator[tuple[slice, slice, Tensor]]:
    """For each tile of a volume (J, D, P): its slices and exp(logit - peak of the joint), in a reused buffer."""
    first_j, first_p = tiles[0]
    buffer = torch.empty_like(volume[first_j, :, first_p], dtype=peak.dtype)
    for js, ps in tiles:
        tile = volume[js, :, ps]
        e = buffer[: tile.shape[0], :, : tile.shape[2]].copy_(tile).sub_(peak[js, None, None])
        # Base 2: torch.exp is forty times slower where results are subnormal, and most of a sharp volume is.
        yield js, ps, e.mul_(_LOG2E).exp2_()


def _expectations(logits: Tensor, joints: int, depth: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Coordinates (B, J, 3), peak logits (B, J), sums of exp(logit - peak) (B, J), scores (B, J)."""
    logits = _dense(logits.detach())
    b, _, h, w = logits.shape
    volumes, tiles = _volumes(logits, joints, depth)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    peak = _peaks(volumes).to(dtype)
    plane = peak.new_empty(b, joints, h * w)
    deep = peak.new_zeros(b, joints, depth)
    for i in range(b):
        for js, ps, e in _exponentials(volumes[i], tiles, peak[i]):
            torch.sum(e, 1, out=plane[i, js, ps])
            deep[i, js] += e.sum(2)
    total = plane.sum(2)
    xy = plane.view(b, joints, h, w)
    x, y = (xy.sum(2) * axis(w, xy)).sum(-1), (xy.sum(3) * axis(h, xy)).sum(-1)
    z = (deep * axis(depth, deep)).sum(-1)
    return torch.stack((x, y, z), -1) / total[..., None], peak, total, plane.amax(2) / total


def _peaks(volumes: Tensor) -> Tensor:
    """The largest logit (B, J) of each volume (B, J, D, P)."""
    if volumes.stride(3) == 1:
        return volumes.amax((2, 3))
    return volumes.amax(3).amax(2)  # over positions first: whole rows of channels at a time


def _gradient(
    logits: Tensor, coordinates: Tensor, peak: Tensor, total: Tensor, gradient: Tensor, joints: int, depth: int
) -> Tensor:
    """dL/dlogit = p * (gx*(x - Ex) + gy*(y - Ey) + gz*(z - Ez)), p = exp(logit - peak) / total; the logits' layout."""
    logits = _dense(logits)
    b, _, h, w = logits.shape
    result = torch.empty_like(logits)
    volumes, tiles = _volumes(logits, joints, depth)
    out, _ = _volumes(result, joints, depth)
    g = gradient.to(peak.dtype) / total[..., None]
    gx, gy, gz = (
        g[..., i, None] * (axis(n, peak) - coordinates[..., i, None]) for i, n in enumerate((w, h, depth))
    )  # (B, J, n)
    plane = (gy[..., None] + gx[..., None, :]).flatten(2)  # (B, J, P)
    for i in range(b):
        factor: Tensor | None = None
        for js, ps, e in _exponentials(volumes[i], tiles, peak[i]):
            if factor is None:
                factor = torch.empty_like(e)
            f = factor[: e.shape[0], :, : e.shape[2]]
            torch.add(plane[i, js, None, ps], gz[i, js, :, None], out=f)
            out[i, js, :, ps] = f.mul_(e)
    return result
