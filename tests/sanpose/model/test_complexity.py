"""The counts of Table 2, an independent count, and the command."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from torch.utils.flop_counter import FlopCounterMode

from sanpose.cli import cli
from sanpose.config.schema import BACKBONES, ModelConfig
from sanpose.errors import UserError
from sanpose.model.complexity import count
from sanpose.model.network import SAN


@pytest.mark.parametrize(
    "attention,parameters,gflops", [("none", 34_291_392, 14.0990), ("position", 39_536_833, 14.4347)]
)
def test_table_2(attention: str, parameters: int, gflops: float) -> None:
    got = count(ModelConfig(attention=attention), 256, 256)
    assert got.parameters == parameters
    assert round(got.paper_gflops, 4) == gflops


def test_the_attention_adds_what_its_sizes_say() -> None:
    part = count(ModelConfig(), 256, 256).parts["attention"]
    projections = 64 * 2048 * (2 * 256 + 2048)
    assert part.parameters == 5_245_441
    assert part.paper == projections + 163_840
    assert part.macs == projections + 64 * 64 * (256 + 2048)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("joints,height,width", [("h36m18", 256, 256), ("union22", 384, 288)])
def test_true_count_agrees_with_torchs(name: str, joints: str, height: int, width: int) -> None:
    config = ModelConfig(backbone=name, joints=joints)
    with torch.device("meta"):
        network, images = SAN(config, height, width).eval(), torch.empty(1, 3, height, width)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.volumes(images)
    got = count(config, height, width)
    assert 2 * got.total.macs == counter.get_total_flops()
    assert got.parameters == sum(p.numel() for p in network.parameters())


def test_weights_are_not_needed() -> None:
    with_file = count(ModelConfig(backbone="resnet18", weights="/nowhere/weights.pth"), 64, 64)
    assert with_file == count(ModelConfig(backbone="resnet18"), 64, 64)
    with pytest.raises(UserError, match="multiple of 32"):
        count(ModelConfig(), 250, 256)


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
