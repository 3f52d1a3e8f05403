"""`sanpose complexity`: parameters and operations without and with the attention block, beside the paper's Table 2."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sanpose.config.compose import configs_dir
from sanpose.config.schema import BACKBONES, ModelConfig
from sanpose.errors import UserError
from sanpose.pose.joints import TRAINING

if TYPE_CHECKING:
    from sanpose.report.tables.complexity import CountedNetwork


@click.command()
@click.option("--backbone", type=click.Choice(BACKBONES), default="resnet50", show_default=True)
@click.option("--all", "every", is_flag=True, help="Count every backbone.")
@click.option("--input", "size", metavar="WxH", default="256x256", show_default=True, help="Input size in px.")
@click.option("--joints", type=click.Choice(list(TRAINING)), default="h36m18", show_default=True)
@click.option("--depth-bins", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: counts by part, for one image.")
def complexity(backbone: str, every: bool, size: str, joints: str, depth_bins: int, as_json: bool) -> None:
    """Count parameters and operations for one image (the paper's Table 2), without and with attention."""
    from sanpose.report.tables.complexity import counted, published_networks

    width, height = _size(size)
    published = published_networks(configs_dir())
    models = [
        ModelConfig(backbone=name, joints=joints, depth_bins=depth_bins, attention=attention)
        for name in (BACKBONES if every else (backbone,))
        for attention in ("none", "position")
    ]
    networks = [counted(model, width, height, published) for model in models]
    if as_json:
        setting = {"input_width": width, "input_height": height, "joints": joints, "depth_bins": depth_bins}
        click.echo(json.dumps({**setting, "networks": [_plain(network) for network in networks]}, indent=2))
    else:
        _print(networks, f"{size} px, {joints} ({len(TRAINING[joints])} joints), {depth_bins} depth bins, one image")


def _size(text: str) -> tuple[int, int]:
    """Width and height in px of "WxH"."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise UserError(f"'{text}' is not a size", where="--input", expected="WIDTHxHEIGHT in px, such as 288x384")
    return int(match[1]), int(match[2])


def _plain(network: CountedNetwork) -> dict[str, object]:
    total, paper = network.cost.total, network.paper
    return {
        "backbone": network.model.backbone,
        "attention": network.model.attention,
        "parameters": total.parameters,
        "paper_gflops": total.paper / 1e9,
        "true_gmacs": total.macs / 1e9,
        "parts": dataclasses.asdict(network.cost),
        "published": paper and {"parameters_millions": paper.parameters_m, "gflops": paper.gflops},
    }


def _print(networks: Sequence[CountedNetwork], setting: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from sanpose.report.tables.complexity import RULES

    compared = any(network.paper for network in networks)
    table = Table(title=f"Complexity: {setting}", caption=RULES)
    table.add_column("network", no_wrap=True)
    columns = ("parameters", *["paper"] * compared, "GFlops, paper's way", *["paper"] * compared, "true GMACs")
    for column in columns:
        table.add_column(column, justify="right")
    for network in networks:
        total, paper = network.cost.total, network.paper
        parameters, gflops = (f"{paper.parameters_m:g} M", f"{paper.gflops:.2f}") if paper else ("", "")
        table.add_row(
            network.model.backbone + (" + SAN" if network.model.attention != "none" else ""),
            f"{total.parameters:,}",
            *[parameters] * compared,
            f"{total.paper / 1e9:.4f}",
            *[gflops] * compared,
            f"{total.macs / 1e9:.4f}",
        )
    Console().print(table)
