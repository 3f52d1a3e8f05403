"""The self-attention block: every position of a feature map attends to every other position (paper, Section 3.3).

Legend: B samples, C channels, N = H*W positions, i the query position, j the key positions.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

REDUCTION = 8  # queries and keys have C/8 channels


class PositionAttention(nn.Module):
    """o = delta * W + X, with W_i = sum_j softmax_j(q_i . k_j) v_j: (B, C, H, W) -> the same shape.

    delta: a trainable scalar (a tensor of one element), `delta_init` at the start; at 0 the block is the identity.
    scale: divide q.k by sqrt(C/8), which the paper omits on purpose.
    position: multiply q element by element with a learned P (C/8, H, W), ones at the start. This is our reading of the
    paper's Eq. 2, whose P_m has the dimension of W_q m. P fixes the size of the feature map.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        delta_init: float = 0.0,
        scale: bool = False,
        position: bool = False,
    ):
        super().__init__()
        inner = channels // REDUCTION
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        # Shape (1,), not (): some optimisers that flatten and split parameters reject a 0-d tensor.
        self.delta = nn.Parameter(torch.full((1,), delta_init))
        self.position = nn.Parameter(torch.ones(inner, height, width)) if position else None
        self.scale = inner**-0.5 if scale else 1.0

    def forward(self, x: Tensor) -> Tensor:
        attention = self.attention(x)
        v: Tensor = self.value(x).flatten(2).transpose(1, 2)  # (B, N, C)
        w = (attention.to(v.dtype) @ v).transpose(1, 2).view(x.shape)  # (B, C, H, W)
        return x + self.delta.to(w.dtype) * w

    def attention(self, x: Tensor) -> Tensor:
        """The attention map (B, N, N) of features (B, C, H, W), float32 or wider even under autocast; rows sum to 1."""
        q: Tensor = self.query(x)
        if self.position is not None:
            q = q * self.position
        k: Tensor = self.key(x)
        q, k = q.flatten(2).transpose(1, 2), k.flatten(2)  # (B, N, C/8), (B, C/8, N)
        # Without 1/sqrt(d) the products are large; bfloat16 would round a product of 100 to a multiple of 0.5.
        with _full_precision(x.device.type):
            dtype = torch.promote_types(q.dtype, torch.float32)
            products = q.to(dtype) @ k.to(dtype) * self.scale
        return products.softmax(-1)


class ChannelAttention(nn.Module):
    """o = delta * W + X, with W_c = sum_d softmax_d(x_c . x_d) x_d over channels: (B, C, H, W) -> the same shape.

    Channel attention without projections, as in dual attention networks (Fu et al. 2019); the paper has only position
    attention. scale: divide x.x by sqrt(N).
    """

    def __init__(self, positions: int, delta_init: float = 0.0, scale: bool = False):
        super().__init__()
        self.delta = nn.Parameter(torch.full((1,), delta_init))
        self.scale = positions**-0.5 if scale else 1.0

    def forward(self, x: Tensor) -> Tensor:
        attention = self.attention(x)
        w = (attention.to(x.dtype) @ x.flatten(2)).view(x.shape)
        return x + self.delta.to(w.dtype) * w

    def attention(self, x: Tensor) -> Tensor:
        """The attention map (B, C, C) of features (B, C, H, W), float32 or wider even under autocast; rows sum to 1."""
        flat = x.flatten(2)
        with _full_precision(x.device.type):
            wide = flat.to(torch.promote_types(flat.dtype, torch.float32))
            products = wide @ wide.transpose(1, 2) * self.scale
        return products.softmax(-1)


def _full_precision(device: str) -> AbstractContextManager[object]:
    """Disable autocast, only where it is enabled: exporters and the meta device reject the switch itself."""
    available = torch.amp.is_autocast_available(device)
    if available and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
