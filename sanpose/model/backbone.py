"""ResNet backbones without pool and classifier, and where their weights come from.

Knows torchvision's ResNets, scaled channel counts, and files of pretrained weights. Downloads nothing: if weights are
not on this machine, an error says where to put them.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model_weights
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from sanpose.errors import UserError, nearest
from sanpose.model.recompute import recomputed

STRIDE = 32  # torchvision's, and the paper's
Block = type[BasicBlock] | type[Bottleneck]
_LAYOUTS: dict[str, tuple[Block, list[int]]] = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
    "resnet152": (Bottleneck, [3, 8, 36, 3]),
}


class Backbone(ResNet):  # type: ignore[misc]  # torchvision has no type information
    """A torchvision ResNet up to its last stage: (B, 3, H, W) -> (B, channels, H/stride, W/stride).

    width: multiplies every channel count (rounded to a multiple of 8, at least 8). stride: 32, 16 (the last stage keeps
    its input's size) or 8 (the last two stages do). Width 1.0 with stride 32 is torchvision's network. The parameter
    names are torchvision's. `recompute`: in training, do not store the maps of the stem and the first stage, which are
    the largest; the backward pass computes them again.
    """

    recompute = False

    def __init__(self, name: str, width: float = 1.0, stride: int = STRIDE):
        if name not in _LAYOUTS:
            hint = nearest(name, _LAYOUTS)
            raise UserError(f"unknown backbone '{name}'", expected=f"one of {', '.join(_LAYOUTS)}", hint=hint)
        block, depths = _LAYOUTS[name]
        super().__init__(block, depths)
        if width != 1.0 or stride != STRIDE:
            self._rebuild(block, depths, width, stride)
        del self.avgpool, self.fc
        self.channels: int = self.inplanes

    def _rebuild(self, block: Block, depths: list[int], width: float, stride: int) -> None:
        """Replace the stem and the four stages by scaled ones, initialised as torchvision's own."""
        stem, *stages = (max(8, 8 * round(planes * width / 8)) for planes in (64, 64, 128, 256, 512))
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.inplanes = stem
        for i, (planes, depth) in enumerate(zip(stages, depths, strict=True), start=1):
            halves = i > 1 and 2 ** (i + 1) <= stride
            setattr(self, f"layer{i}", self._make_layer(block, planes, depth, stride=2 if halves else 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        if self.recompute and self.training and torch.is_grad_enabled():
            norms = [m for part in (self.bn1, self.layer1) for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
            x = recomputed(self._early, norms, images)
        else:
            x = self._early(images)
        features: Tensor = self.layer4(self.layer3(self.layer2(x)))
        return features

    def _early(self, images: Tensor) -> Tensor:
        x: Tensor = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(images)))))
        return x


def build_backbone(name: str, width: float = 1.0, weights: str = "none", stride: int = STRIDE) -> Backbone:
    """A backbone with random weights ("none"), torchvision's ImageNet weights ("imagenet"), or those of a file.

    Raises UserError for an unknown name, for weights that are missing, damaged or of another network, and for
    ImageNet weights with a width other than 1.
    """
    backbone = Backbone(name, width, stride)
    if weights == "none":
        return backbone
    if weights == "imagenet" and width != 1.0:
        raise UserError(
            f"ImageNet weights do not fit a backbone of width {width:g}",
            where="model.width",
            expected="model.width=1.0 with model.weights=imagenet",
            hint="model.weights=none",
        )
    path = _imagenet_file(name) if weights == "imagenet" else Path(weights).expanduser()
    load_backbone(backbone, read_weights(path), path)
    return backbone


def _imagenet_file(name: str) -> Path:
    """The file of torchvision's first ImageNet weights in torch's hub cache; the hash in its name is checked."""
    url: str = get_model_weights(name).IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if not path.is_file():
        raise UserError(
            f"torchvision's ImageNet weights for {name} are not on this machine (nothing is downloaded)",
            where=path,
            expected=f"the file {path.name}, from {url}",
            hint=f"put the file into {path.parent}, or set model.weights=/path/to/{path.name}, or model.weights=none",
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    expected = path.stem.rsplit("-", 1)[1]
    if not digest.startswith(expected):
        raise UserError(
            "the ImageNet weights are damaged or not torchvision's",
            where=path,
            expected=f"a file whose SHA-256 starts with {expected}; this file's starts with {digest[: len(expected)]}",
            hint=f"download the file again from {url}",
        )
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a torch file. No code in the file is run.

    Raises UserError when the file is missing, cut short, or holds anything but tensors by name.
    """
    if not path.is_file():
        raise UserError("no such weights file", where=path, expected="none, imagenet, or a .pth or .safetensors file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, SafetensorError) as error:
        raise UserError(
            f"cannot read the weights file ({str(error).splitlines()[0] if str(error) else type(error).__name__})",
            where=path,
            expected="a state dict saved by torch.save, or a .safetensors file",
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError("not a state dict", where=path, expected="tensors by name, or those under 'state_dict'")
    return dict(content)


def load_backbone(backbone: Backbone, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors by name into a backbone. Removes the prefixes `module.` and `backbone.`, ignores `fc.*`.

    path: only for messages. Raises UserError that names the keys that are missing, unknown or of another shape.
    """
    named = {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    if any(key.startswith("backbone.") for key in named):  # a whole network's weights: only the backbone's are loaded
        named = {key.removeprefix("backbone."): t for key, t in named.items() if key.startswith("backbone.")}
    named = {key: tensor for key, tensor in named.items() if not key.startswith("fc.")}
    own = backbone.state_dict()
    counters = {key for key in own if key.endswith("num_batches_tracked")}  # absent from weights of torch before 0.4.1
    problems = [f"missing {key}" for key in own if key not in named and key not in counters]
    problems += [f"unknown {key}" for key in named if key not in own]
    problems += [
        f"{key} is {tuple(named[key].shape)}, not {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in named and named[key].shape != tensor.shape
    ]
    if problems:
        others = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(
            f"the weights do not fit the backbone: {'; '.join(problems[:3])}{others}",
            where=path,
            expected=f"the {len(own)} tensors of this backbone",
            hint="check model.backbone and model.width against the file",
        )
    backbone.load_state_dict(named, strict=False)
