"""What a network costs for one image: parameters, the paper's "Flops" (its Table 2), and true multiply-accumulates.

The paper's count can be rebuilt exactly by one popular counter's rules: a convolution, transposed or not, costs its
kernel for every *output* element, plus one for a bias; batch normalisation costs 2 per element; matrix products, ReLU
and pooling cost nothing. In truth a transposed convolution applies its kernel once per *input* element (a quarter of
that at stride 2), and the attention's two matrix products do cost something.

Plain arithmetic from the configuration, without torch; the tests compare it with the real network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sanpose.config.schema import LATER, STRIDES, ModelConfig
from sanpose.errors import UserError
from sanpose.pose.joints import TRAINING

_DEPTHS = {
    "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}  # fmt: skip
_BASIC = ("resnet18", "resnet34")
_HEATMAP_STRIDE, _REDUCTION = 4, 8
_MODEL_KEYS = {"backbone", "width", "joints", "depth_bins", "attention", "deconv_channels"}


@dataclass(frozen=True)
class RecordedNetwork:
    """The network of a recorded configuration, and the size of its input in px."""

    model: ModelConfig
    input_width: int
    input_height: int


@dataclass(frozen=True)
class Cost:
    """One part's cost for one image. `paper`: by the paper's rules; `macs`: true multiply-accumulates."""

    parameters: int = 0
    paper: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.paper + other.paper, self.macs + other.macs)


@dataclass(frozen=True)
class NetworkCost:
    """A network's cost for one image, by part; `attention` is zero for a network without."""

    backbone: Cost
    attention: Cost
    deconvolutions: Cost
    head: Cost

    @property
    def total(self) -> Cost:
        return self.backbone + self.attention + self.deconvolutions + self.head


def network_cost(model: ModelConfig, height: int, width: int) -> NetworkCost:
    """The cost of a network for one image of height x width px. Paper, Table 2.

    Raises UserError for an unknown backbone, attention or joint set, and for a size that is not a multiple of
    the network's stride.
    """
    for side, size in (("height", height), ("width", width)):
        if size <= 0 or size % model.stride:
            raise UserError(f"the input's {side} is {size} px", expected=f"a positive multiple of {model.stride}")
    for name, value, names in (("backbone", model.backbone, _DEPTHS), ("joints", model.joints, TRAINING)):
        if value not in names:
            raise UserError(f"model.{name} is '{value}'", expected=f"one of {', '.join(names)}")
    channels, backbone = _backbone(model, height * width // 4)
    positions = height * width // model.stride**2
    attention = _attention(model, channels, positions)
    upsampling = Cost()
    inputs, outputs = channels, height * width // _HEATMAP_STRIDE**2
    while positions < outputs:
        upsampling += _transposed(inputs, model.deconv_channels, positions)
        inputs, positions = model.deconv_channels, 4 * positions
        upsampling += _norm(model.deconv_channels, positions)
    volumes = len(TRAINING[model.joints]) * model.depth_bins
    head = _convolution(model.deconv_channels, volumes, 1, positions, bias=True)
    return NetworkCost(backbone, attention, upsampling, head)


def recorded_network(config: Mapping[str, object]) -> RecordedNetwork | None:
    """The network of a recorded configuration; None where the configuration lacks a key of it."""
    model, data = config.get("model"), config.get("data")
    if not isinstance(model, Mapping) or not isinstance(data, Mapping):
        return None
    if not (model.keys() >= _MODEL_KEYS and {"input_width", "input_height"} <= data.keys()):
        return None
    values = {key: model[key] for key in _MODEL_KEYS}
    learned, stride = bool(model.get("attention_position", False)), model.get("stride", LATER["model.stride"])
    if stride not in STRIDES:
        return None
    network = ModelConfig(**values, attention_position=learned, stride=stride)
    return RecordedNetwork(network, data["input_width"], data["input_height"])


def recorded_cost(config: Mapping[str, object]) -> Cost | None:
    """The cost of a recorded configuration's network at its input size; None for a network that `network_cost` refuses,
    and where the configuration lacks a key of it."""
    network = recorded_network(config)
    if network is None:
        return None
    try:
        return network_cost(network.model, network.input_height, network.input_width).total
    except UserError:
        return None


def _convolution(inputs: int, outputs: int, kernel: int, positions: int, *, bias: bool = False) -> Cost:
    """positions: at how many places of the output the kernel is applied."""
    per_output = inputs * kernel**2
    return Cost(
        outputs * (per_output + bias), outputs * positions * (per_output + bias), outputs * positions * per_output
    )


def _transposed(inputs: int, outputs: int, positions: int) -> Cost:
    """4x4, stride 2, no bias, on `positions` inputs: one kernel per input in truth, one per output by the paper."""
    weights = inputs * outputs * 16
    return Cost(weights, 4 * positions * weights, positions * weights)


def _norm(channels: int, positions: int) -> Cost:
    return Cost(2 * channels, 2 * channels * positions, 0)


def _backbone(model: ModelConfig, positions: int) -> tuple[int, Cost]:
    """The channels that a backbone gives, and its cost; positions: of the stem's output."""
    stem, *stages = (max(8, 8 * round(planes * model.width / 8)) for planes in (64, 64, 128, 256, 512))
    total = _convolution(3, stem, 7, positions) + _norm(stem, positions)
    inputs, positions = stem, positions // 4
    for stage, (planes, depth) in enumerate(zip(stages, _DEPTHS[model.backbone], strict=True)):
        halves = stage > 0 and 2 ** (stage + 2) <= model.stride
        for block in range(depth):
            shrinks = block == 0 and halves
            after = positions // 4 if shrinks else positions
            basic = model.backbone in _BASIC
            outputs = planes if basic else 4 * planes
            for layer in _block(basic, inputs, planes, positions, after):
                total += _convolution(*layer) + _norm(layer[1], layer[3])
            if shrinks or inputs != outputs:
                total += _convolution(inputs, outputs, 1, after) + _norm(outputs, after)
            inputs, positions = outputs, after
    return inputs, total


def _block(basic: bool, inputs: int, planes: int, before: int, after: int) -> Iterator[tuple[int, int, int, int]]:
    """The convolutions of one residual block (inputs, outputs, kernel, positions); the first 3x3 has the stride."""
    if basic:
        yield inputs, planes, 3, after
        yield planes, planes, 3, after
        return
    yield inputs, planes, 1, before
    yield planes, planes, 3, after
    yield planes, 4 * planes, 1, after


def _attention(model: ModelConfig, channels: int, positions: int) -> Cost:
    if model.attention == "none":
        return Cost()
    if model.attention == "channel":
        return Cost(1, 0, 2 * channels**2 * positions)  # the parameter is delta
    if model.attention != "position":
        raise UserError(f"model.attention is '{model.attention}'", expected="none, position or channel")
    inner = channels // _REDUCTION
    products = Cost(1, 0, positions**2 * (inner + channels))
    position = Cost(inner * positions if model.attention_position else 0)
    projections = [_convolution(channels, outputs, 1, positions, bias=True) for outputs in (inner, inner, channels)]
    return sum(projections, products + position)
