"""The whole network: backbone, self-attention block, transposed convolutions, volumes, soft-argmax.

Knows tensors only: the input is normalised images, the output coordinates relative to the input. The network keeps the
memory layout of its input: channels-last images give channels-last feature maps and volumes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sanpose.config.schema import ModelConfig
from sanpose.errors import UserError
from sanpose.model.attention import ChannelAttention, PositionAttention
from sanpose.model.backbone import build_backbone
from sanpose.model.softargmax import soft_argmax, soft_argmax_scores
from sanpose.pose.joints import TRAINING

HEATMAP_STRIDE = 4  # px of the input for each bin of a volume


class SAN(nn.Module):
    """Images (B, 3, H, W) -> coordinates (B, J, 3): x = px/W - 0.5, y = px/H - 0.5, z = mm/2000 from the pelvis.

    Paper, Section 3. Images are RGB, normalised with ImageNet's mean and standard deviation. The volumes have
    `depth_bins` x H/4 x W/4 bins per joint. The constructor loads the weights that `config.weights` names.
    """

    def __init__(self, config: ModelConfig, input_height: int, input_width: int):
        super().__init__()
        for side, size in (("height", input_height), ("width", input_width)):
            if size <= 0 or size % config.stride:
                raise UserError(f"the input's {side} is {size} px", expected=f"a positive multiple of {config.stride}")
        self.joints = len(TRAINING[config.joints])
        self.depth_bins = config.depth_bins
        self.backbone = build_backbone(config.backbone, config.width, config.weights, config.stride)
        channels = self.backbone.channels
        self.attention: PositionAttention | ChannelAttention | None = None
        height, width = input_height // config.stride, input_width // config.stride
        if config.attention == "position":
            self.attention = PositionAttention(
                channels, height, width, config.delta_init, config.attention_scale, config.attention_position
            )
        elif config.attention == "channel":
            self.attention = ChannelAttention(height * width, config.delta_init, config.attention_scale)
        self.upsample = _upsampling(channels, config.deconv_channels, config.stride)
        self.head = nn.Conv2d(config.deconv_channels, self.joints * self.depth_bins, 1)
        for module in (*self.upsample, self.head):
            if isinstance(module, (nn.ConvTranspose2d, nn.Conv2d)):
                nn.init.normal_(module.weight, std=0.001)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    @property
    def delta(self) -> Tensor | None:
        """The attention's trainable scalar, one element; None without attention."""
        return None if self.attention is None else self.attention.delta

    def volumes(self, images: Tensor) -> Tensor:
        """Logits (B, J*D, H/4, W/4), channel j*D + d, of images (B, 3, H, W)."""
        x = self.backbone(images)
        if self.attention is not None:
            x = self.attention(x)
        logits: Tensor = self.head(self.upsample(x))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return soft_argmax(self.volumes(images), self.joints, self.depth_bins)

    @torch.no_grad()
    def coordinates_and_scores(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (B, J, 3) and scores (B, J) in [0, 1], the peak of each joint's marginal over the image plane."""
        return soft_argmax_scores(self.volumes(images), self.joints, self.depth_bins)


def _upsampling(channels: int, out: int, stride: int) -> nn.Sequential:
    """4x4 transposed convolutions of stride 2, each doubling height and width, with BN and ReLU: three after a backbone
    of stride 32."""
    layers: list[nn.Module] = []
    for i in range((stride // HEATMAP_STRIDE).bit_length() - 1):
        layers += [
            nn.ConvTranspose2d(channels if i == 0 else out, out, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
