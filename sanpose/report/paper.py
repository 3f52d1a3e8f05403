"""The published tables, read from configs/paper/*.csv. Knows their files and columns; does not know our runs."""

from __future__ import annotations

import csv
from pathlib import Path

from sanpose.errors import UserError

ABLATION = "table1_ablation_mpjpe_mm.csv"
COMPLEXITY = "table2_complexity.csv"
PROTOCOL1 = "table3_protocol1_mpjpe_mm.csv"
PROTOCOL2 = "table3_protocol2_pa_mpjpe_mm.csv"
MPII = "table4_mpii_pckh.csv"
COCO = "table5_coco_testdev_ap.csv"
OURS = "Ours"  # the paper's name for its own row


def rows(config_dir: Path, name: str) -> list[dict[str, str]]:
    """The rows of one published table, column -> text. Raises UserError for an absent, empty or uneven file."""
    path = config_dir / "paper" / name
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "a table of the paper cannot be read",
            where=path,
            expected="the shipped CSV files of configs/paper",
            hint="name the configs folder: --config-dir DIR",
        ) from error
    uneven = next((i for i, row in enumerate(table, 2) if None in row or None in row.values()), None)
    if uneven is not None or not table:
        where = f"{path}, line {uneven}" if uneven else path
        raise UserError("a table of the paper is damaged", where=where, expected="as many values as columns")
    return table


def number(text: str, name: str) -> float | None:
    """A published figure, None where the paper has no figure. Raises UserError for text that is not a number."""
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"'{text}' in a table of the paper is not a number", where=name) from error
