"""The counts of Table 2, the same counts taken from the real network, and the command."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections import Counter

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sanpose.cli import cli
from sanpose.config.schema import BACKBONES, ModelConfig
from sanpose.errors import UserError
from sanpose.model.cost import Cost, NetworkCost, network_cost, recorded_cost
from sanpose.model.network import SAN


@pytest.mark.parametrize(
    "attention,parameters,gflops", [("none", 34_291_392, 14.0990), ("position", 39_536_833, 14.4347)]
)
def test_table_2(attention: str, parameters: int, gflops: float) -> None:
    total = network_cost(ModelConfig(attention=attention), 256, 256).total
    assert total.parameters == parameters
    assert round(total.paper / 1e9, 4) == gflops


def test_the_attention_adds_what_its_sizes_say() -> None:
    part = network_cost(ModelConfig(), 256, 256).attention
    projections = 64 * 2048 * (2 * 256 + 2048)
    assert part.parameters == 5_245_441
    assert part.paper == projections + 163_840
    assert part.macs == projections + 64 * 64 * (256 + 2048)


def counted_in(network: SAN, height: int, width: int) -> NetworkCost:
    """The cost by part, from the network's own parameters, torch's counter, and a look at every layer's output."""
    paper: Counter[str] = Counter()
    layers = {layer: name.partition(".")[0] for name, layer in network.named_modules()}

    def add(layer: nn.Module, _: object, output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            kernel = layer.kernel_size[0] * layer.kernel_size[1] * layer.in_channels
            paper[layers[layer]] += output.numel() * (kernel + (layer.bias is not None))
        elif isinstance(layer, nn.BatchNorm2d):
            paper[layers[layer]] += 2 * output.numel()

    for layer in network.modules():
        layer.register_forward_hook(add)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval().volumes(torch.empty(1, 3, height, width, device="meta"))

    def part(name: str) -> Cost:
        parameters = sum(p.numel() for key, p in network.named_parameters() if key.partition(".")[0] == name)
        flops = counter.get_flop_counts().get(type(getattr(network, name)).__name__, {})  # torch names outer modules so
        return Cost(parameters, paper[name], sum(flops.values()) // 2)

    found = NetworkCost(part("backbone"), part("attention"), part("upsample"), part("head"))
    assert 2 * found.total.macs == counter.get_total_flops()
    assert found.total.parameters == sum(p.numel() for p in network.parameters())
    return found


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("attention", ["none", "position", "channel"])
def test_the_arithmetic_counts_what_the_network_has(name: str, attention: str) -> None:
    for width, joints, position, size, stride in (
        (1.0, "h36m18", False, (256, 256), 32),
        (0.375, "union22", attention == "position", (96, 64), 32),
        (0.25, "h36m18", False, (96, 64), 16),
        (1.0, "h36m18", attention == "position", (96, 64), 8),
    ):
        model = ModelConfig(
            backbone=name, attention=attention, width=width, joints=joints, attention_position=position, stride=stride
        )
        with torch.device("meta"):
            network = SAN(model, *size)
        found = network_cost(model, *size)
        assert found == counted_in(network, *size)
        data = {"input_height": size[0], "input_width": size[1]}
        assert recorded_cost({"model": dataclasses.asdict(model), "data": data}) == found.total


def test_weights_are_not_needed() -> None:
    with_file = network_cost(ModelConfig(backbone="resnet18", weights="/nowhere/weights.pth"), 64, 64)
    assert with_file == network_cost(ModelConfig(backbone="resnet18"), 64, 64)


def test_a_network_that_cannot_be_is_refused() -> None:
    for wrong in ({"backbone": "vgg"}, {"joints": "none"}, {"attention": "some"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            network_cost(ModelConfig(**wrong), 64, 64)
        model = dataclasses.asdict(ModelConfig(**wrong))
        assert recorded_cost({"model": model, "data": {"input_height": 64, "input_width": 64}}) is None
    with pytest.raises(UserError, match="multiple of 32"):
        network_cost(ModelConfig(), 250, 256)
    with pytest.raises(UserError, match="multiple of 8"):
        network_cost(ModelConfig(stride=8), 250, 256)
    other = {**dataclasses.asdict(ModelConfig()), "stride": 7}
    assert recorded_cost({"model": other, "data": {"input_height": 64, "input_width": 64}}) is None


def test_command_shows_table_2_beside_the_papers() -> None:
    result = CliRunner().invoke(cli, ["complexity"])
    assert result.exit_code == 0, result.output
    for figure in ("34,291,392", "39,536,833", "14.0990", "14.4347", "14.10", "14.43", "34 M", "39 M"):
        assert figure in result.output


def test_command_as_json() -> None:
    result = CliRunner().invoke(cli, ["complexity", "--json", "--all", "--input", "288x384", "--joints", "union22"])
    content = json.loads(result.output)
    assert (content["input_width"], content["input_height"]) == (288, 384)
    assert [n["backbone"] for n in content["networks"]] == [b for b in BACKBONES for _ in range(2)]
    assert {n["published"] is None for n in content["networks"]} == {True}  # the paper counted another setting
    r50 = content["networks"][4]
    assert sum(part["macs"] for part in r50["parts"].values()) == round(r50["true_gmacs"] * 1e9)


@pytest.mark.parametrize("size", ["256", "axb", "250x256"])
def test_command_refuses_impossible_sizes(size: str) -> None:
    result = CliRunner().invoke(cli, ["complexity", "--input", size])
    assert isinstance(result.exception, UserError)


def test_the_command_needs_no_torch() -> None:
    code = "import sys, sanpose.cli.complexity, sanpose.report.tables.complexity; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
