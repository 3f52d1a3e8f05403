"""The configuration: typed, composed once by Hydra in the driver, validated, frozen. (being written by the lead)"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelConfig:
    """The network. `weights`: "none", "imagenet", or a file; `width` multiplies the backbone's channels."""

    backbone: str = "resnet50"
    width: float = 1.0
    weights: str = "none"
    joints: str = "h36m18"
    depth_bins: int = 64
    attention: str = "position"
    delta_init: float = 0.0
    attention_scale: bool = False
    attention_position: bool = False
    deconv_channels: int = 256
