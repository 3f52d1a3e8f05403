"""The loss: L1 on coordinates, weighted by visibility and by axis (paper, sections 3.3 and 3.4)."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Loss(NamedTuple):
    """Scalars: `total` = `plane` (x and y) + `depth`; each is a mean over samples and joints."""

    total: torch.Tensor
    plane: torch.Tensor
    depth: torch.Tensor


def coordinate_l1(predicted: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> Loss:
    """Weighted L1 between coordinates (B, J, 3) in the network's frame; weight (B, J, 3).

    The sum over joints and axes is divided by B * J, whatever the weights. So the mean over equal parts of a batch is
    the loss of the whole batch, and the depth of a 2D sample (weight 0) gets exactly zero gradient.
    """
    error = (predicted - target).abs() * weight
    count = predicted.shape[0] * predicted.shape[1]
    plane, depth = error[..., :2].sum() / count, error[..., 2].sum() / count
    return Loss(plane + depth, plane, depth)
