"""What a network costs: parameters, the paper's "Flops" (its Table 2), and the true multiply-accumulates.

The paper's count can be rebuilt exactly by one popular counter's rules: a convolution, transposed or not, costs its
kernel for every *output* element, plus one for a bias; batch normalisation 2 per element; matrix products, ReLU and
pooling nothing. Really a transposed convolution applies its kernel once per *input* element (a quarter of that at
stride 2), and the attention's two matrix products do cost something. Nothing is computed here: the network runs on
torch's meta device, where tensors have shapes and no contents.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sanpose.config.schema import ModelConfig
from sanpose.model.attention import ChannelAttention, PositionAttention
from sanpose.model.network import SAN

_PARTS = {"backbone": "backbone", "attention": "attention", "upsample": "deconvolutions", "head": "head"}


@dataclass(frozen=True)
class Count:
    """One part's cost for one image. `paper`: by the paper's rules; `macs`: true multiply-accumulates."""

    parameters: int = 0
    paper: int = 0
    macs: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.parameters + other.parameters, self.paper + other.paper, self.macs + other.macs)


@dataclass(frozen=True)
class Complexity:
    """A network's cost for one image, by part: backbone, attention (zero without), deconvolutions, head."""

    parts: Mapping[str, Count]

    @property
    def total(self) -> Count:
        return sum(self.parts.values(), Count())

    @property
    def parameters(self) -> int:
        return self.total.parameters

    @property
    def paper_gflops(self) -> float:
        """The paper's "Flops", in 10^9 (multiply-accumulates, counted its way)."""
        return self.total.paper / 1e9

    @property
    def gmacs(self) -> float:
        """True multiply-accumulates of convolutions and matrix products, in 10^9."""
        return self.total.macs / 1e9


def count(config: ModelConfig, height: int, width: int) -> Complexity:
    """The cost of the network for one image of height x width px. Its weights are neither loaded nor needed.

    Raises UserError for an unknown backbone or a size that is not a multiple of 32.
    """
    return _count(dataclasses.replace(config, weights="none", delta_init=0.0), height, width)


@functools.cache
def _count(config: ModelConfig, height: int, width: int) -> Complexity:
    with torch.device("meta"):
        network = SAN(config, height, width)
        images = torch.empty(1, 3, height, width)
    parts = {
        label: Count(parameters=sum(p.numel() for p in part.parameters()))
        for name, label in _PARTS.items()
        for part in [getattr(network, name) or nn.Identity()]
    }
    if sum(part.parameters for part in parts.values()) != sum(p.numel() for p in network.parameters()):
        raise RuntimeError("the parts do not cover the network")

    def count_into(label: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            parts[label] += _cost(module, inputs[0], output)

        return hook

    for name, label in _PARTS.items():
        for module in (getattr(network, name) or nn.Identity()).modules():
            module.register_forward_hook(count_into(label))
    with torch.no_grad():
        network.eval().volumes(images)
    return Complexity(parts)


def _cost(module: nn.Module, x: Tensor, y: Tensor) -> Count:
    """What one module itself adds for input (1, C, h, w) and output (1, C', h', w'): its children count themselves."""
    match module:
        case nn.Conv2d() | nn.ConvTranspose2d():
            kernel = module.kernel_size[0] * module.kernel_size[1]
            per_output = module.in_channels // module.groups * kernel
            per_input = module.out_channels // module.groups * kernel
            paper = y.numel() * (per_output + (module.bias is not None))
            true = x.numel() * per_input if module.transposed else y.numel() * per_output
            return Count(paper=paper, macs=true)
        case nn.BatchNorm2d():
            return Count(paper=2 * y.numel())
        case PositionAttention():
            n = x.shape[2] * x.shape[3]
            return Count(macs=n * n * (module.query.out_channels + module.value.out_channels))
        case ChannelAttention():
            return Count(macs=2 * x.shape[1] ** 2 * x.shape[2] * x.shape[3])
        case _:
            return Count()
