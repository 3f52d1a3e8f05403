"""The published tables, read from configs/paper/*.csv. Knows their files and columns, nothing of our runs."""

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
OURS = "Ours"  # how the paper names its own row


def rows(config_dir: Path, name: str) -> list[dict[str, str]]:
    """The rows of one published table, column -> text. Raises UserError for a file that is absent, empty or uneven."""
    path = config_dir / "paper" / name
    try:
        with path.open(newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "a table of the paper cannot be read",
            where=path,
            expected="the CSV files shipped in configs/paper",
            hint="name the folder that holds them: --config-dir",
        ) from error
    uneven = next((i for i, row in enumerate(found, 2) if None in row or None in row.values()), None)
    if uneven is not None or not found:
        where = f"{path}, line {uneven}" if uneven else path
        raise UserError("a table of the paper is damaged", where=where, expected="as many values as columns")
    return found


def number(text: str, name: str) -> float | None:
    """A published figure, None where the paper has none. Raises UserError for anything but a number."""
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"'{text}' in a table of the paper is not a number", where=name) from error
