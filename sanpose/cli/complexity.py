"""`sanpose complexity`: parameters and operations without and with the attention block, beside the paper's Table 2."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sanpose.config.compose import configs_dir
from sanpose.config.schema import BACKBONES, ModelConfig
from sanpose.errors import UserError
from sanpose.pose.joints import TRAINING

if TYPE_CHECKING:
    from sanpose.model.complexity import Complexity

_TABLE_2 = ("resnet50", "256x256", "h36m18", 64)  # what the paper's figures were counted for


@dataclass(frozen=True)
class _Row:
    """One network: what it is, what it costs, and the paper's (parameters in 10^6, GFlops) where it printed them."""

    backbone: str
    attention: str
    cost: Complexity
    published: tuple[float, float] | None

    def plain(self) -> dict[str, Any]:
        return {
            "backbone": self.backbone,
            "attention": self.attention,
            "parameters": self.cost.parameters,
            "paper_gflops": self.cost.paper_gflops,
            "true_gmacs": self.cost.gmacs,
            "parts": {name: dataclasses.asdict(part) for name, part in self.cost.parts.items()},
            "published": None
            if self.published is None
            else {"parameters_millions": self.published[0], "gflops": self.published[1]},
        }


@click.command()
@click.option("--backbone", type=click.Choice(BACKBONES), default="resnet50", show_default=True)
@click.option("--all", "every", is_flag=True, help="Every backbone.")
@click.option("--input", "size", metavar="WxH", default="256x256", show_default=True, help="Input size in px.")
@click.option("--joints", type=click.Choice(list(TRAINING)), default="h36m18", show_default=True)
@click.option("--depth-bins", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: counts by part, per image.")
def complexity(backbone: str, every: bool, size: str, joints: str, depth_bins: int, as_json: bool) -> None:
    """Count parameters and operations for one image (the paper's Table 2), without and with attention."""
    width, height = _size(size)
    rows = []
    for name in BACKBONES if every else (backbone,):
        published = _published() if (name, size, joints, depth_bins) == _TABLE_2 else {}
        rows += _rows(name, width, height, joints, depth_bins, published)
    if as_json:
        setting = {"input_width": width, "input_height": height, "joints": joints, "depth_bins": depth_bins}
        click.echo(json.dumps({**setting, "networks": [row.plain() for row in rows]}, indent=2))
    else:
        _print(rows, f"{size} px, {joints} ({len(TRAINING[joints])} joints), {depth_bins} depth bins, one image")


def _size(text: str) -> tuple[int, int]:
    """Width and height in px of "WxH"."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise UserError(f"'{text}' is not a size", where="--input", expected="WIDTHxHEIGHT in px, such as 288x384")
    return int(match[1]), int(match[2])


def _published() -> dict[str, tuple[float, float]]:
    """The paper's Table 2: model name -> (parameters in 10^6, Flops in 10^9)."""
    path: Path = configs_dir() / "paper" / "table2_complexity.csv"
    with path.open(newline="") as file:
        return {r["model"]: (float(r["params_millions"]), float(r["flops_giga"])) for r in csv.DictReader(file)}


def _rows(
    backbone: str, width: int, height: int, joints: str, depth_bins: int, published: dict[str, tuple[float, float]]
) -> list[_Row]:
    """One backbone without and with the attention block."""
    from sanpose.model.complexity import count

    rows = []
    for attention, suffix in (("none", ""), ("position", "+san")):
        config = ModelConfig(backbone=backbone, joints=joints, depth_bins=depth_bins, attention=attention)
        rows.append(_Row(backbone, attention, count(config, height, width), published.get(backbone + suffix)))
    return rows


def _print(rows: list[_Row], setting: str) -> None:
    from rich.console import Console
    from rich.table import Table

    compared = any(row.published for row in rows)
    table = Table(title=f"Complexity: {setting}")
    table.add_column("network", no_wrap=True)
    columns = ("parameters", *["paper"] * compared, "GFlops, paper's way", *["paper"] * compared, "true GMACs")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        parameters, gflops = (f"{row.published[0]:g} M", f"{row.published[1]:.2f}") if row.published else ("", "")
        table.add_row(
            row.backbone + (" + SAN" if row.attention != "none" else ""),
            f"{row.cost.parameters:,}",
            *[parameters] * compared,
            f"{row.cost.paper_gflops:.4f}",
            *[gflops] * compared,
            f"{row.cost.gmacs:.4f}",
        )
    table.caption = (
        "The paper's way: multiply-accumulates, transposed convolutions at output positions, biases, 2 per element of "
        "batch normalisation, no matrix products. True: transposed convolutions at input positions, matrix products."
    )
    Console().print(table)
