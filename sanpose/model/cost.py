"""What a network costs, by arithmetic: the counts of sanpose.model.complexity, without waiting for torch.

A layer is (inputs, outputs, kernel, positions it is applied at). The rules of counting are those of that module; the
tests hold the two to the same integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sanpose.pose.joints import TRAINING

_DEPTHS = {
    "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}  # fmt: skip
_BASIC = ("resnet18", "resnet34")
_STRIDE, _REDUCTION = 32, 8


@dataclass(frozen=True)
class Cost:
    """For one image. `paper`: by the paper's rules; `macs`: true multiply-accumulates."""

    parameters: int = 0
    paper: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.paper + other.paper, self.macs + other.macs)


def cost(config: Mapping[str, Any]) -> Cost | None:
    """The cost of a recorded configuration's network at its input size; None for one that this arithmetic doesn't know.

    Paper, Table 2.
    """
    model, data = config["model"], config["data"]
    if model["backbone"] not in _DEPTHS or model["joints"] not in TRAINING:
        return None
    height, width = data["input_height"], data["input_width"]
    channels, parts = _backbone(model["backbone"], model["width"], height, width)
    attention = _attention(model, channels, height // _STRIDE * (width // _STRIDE))
    if attention is None:
        return None
    out, positions = model["deconv_channels"], height * width // _STRIDE**2
    up = Cost()
    for inputs in (channels, out, out):
        up += _transposed(inputs, out, positions) + _norm(out, 4 * positions)
        positions *= 4
    head = _convolution(out, len(TRAINING[model["joints"]]) * model["depth_bins"], 1, positions, bias=True)
    return parts + attention + up + head


def _convolution(inputs: int, outputs: int, kernel: int, positions: int, *, bias: bool = False) -> Cost:
    per_output = inputs * kernel**2
    return Cost(
        outputs * (per_output + bias), outputs * positions * (per_output + bias), outputs * positions * per_output
    )


def _transposed(inputs: int, outputs: int, positions: int) -> Cost:
    """4x4, stride 2, no bias, on `positions` inputs: really one kernel per input, by the paper one per output."""
    weights = inputs * outputs * 16
    return Cost(weights, 4 * positions * weights, positions * weights)


def _norm(channels: int, positions: int) -> Cost:
    return Cost(2 * channels, 2 * channels * positions, 0)


def _backbone(name: str, width: float, height: int, input_width: int) -> tuple[int, Cost]:
    stem, *stages = (max(8, 8 * round(planes * width / 8)) for planes in (64, 64, 128, 256, 512))
    positions = height * input_width // 4
    total = _convolution(3, stem, 7, positions) + _norm(stem, positions)
    inputs, positions = stem, positions // 4
    for stage, (planes, depth) in enumerate(zip(stages, _DEPTHS[name], strict=True)):
        for block in range(depth):
            shrinks = block == 0 and stage > 0
            after = positions // 4 if shrinks else positions
            outputs = planes if name in _BASIC else 4 * planes
            for layer in _block(name in _BASIC, inputs, planes, positions, after):
                total += _convolution(*layer) + _norm(layer[1], layer[3])
            if shrinks or inputs != outputs:
                total += _convolution(inputs, outputs, 1, after) + _norm(outputs, after)
            inputs, positions = outputs, after
    return inputs, total


def _block(basic: bool, inputs: int, planes: int, before: int, after: int) -> Iterator[tuple[int, int, int, int]]:
    """The convolutions of one residual block, which the stride meets at its first 3x3."""
    if basic:
        yield inputs, planes, 3, after
        yield planes, planes, 3, after
        return
    yield inputs, planes, 1, before
    yield planes, planes, 3, after
    yield planes, 4 * planes, 1, after


def _attention(model: Mapping[str, Any], channels: int, positions: int) -> Cost | None:
    if model["attention"] == "none":
        return Cost()
    if model["attention"] == "channel":
        return Cost(1, 0, 2 * channels**2 * positions)  # the parameter is delta
    if model["attention"] != "position":
        return None
    inner = channels // _REDUCTION
    products = Cost(1, 0, positions**2 * (inner + channels))
    position = Cost(inner * positions if model.get("attention_position") else 0)
    projections = [_convolution(channels, outputs, 1, positions, bias=True) for outputs in (inner, inner, channels)]
    return sum(projections, products + position)
