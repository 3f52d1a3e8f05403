"""Runs of a sweep with seeds=auto in the report: the repeated p counts, not the usual one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sanpose.report.gather import gather
from sanpose.report.table import Table
from sanpose.runs import ledger
from sanpose.statistics.paired import holm, paired
from sanpose.statistics.sequential import repeated_p
from tests.sanpose.recorded import CONFIGS, add, add_sweep, figures

AUTO = {"max_seeds": 6, "alpha": 0.05}
DIFFERENCES = {"a": (0, 0, 0, 0), "b": (-20.0, -21.5, -19.0, -22.0), "c": (-20.5, -21.0, -18.0, -23.0)}


def swept(root: Path, **head: Any) -> Table:
    """The claims of a sweep of cells a, b and c with four seeds."""
    trials = []
    for cell, values in DIFFERENCES.items():
        for seed, value in enumerate(values):
            folder = add(root, cell, seed=seed, status="done", metrics=figures(100 + seed + value))
            trials.append(({"ablation": cell}, seed, folder))
    add_sweep(root, "cells", trials, axes=[{"name": "ablation", "values": list("abc")}], seeds=3, **head)
    return gather(root, CONFIGS).claims


def row_of(table: Table, step: str) -> dict[str, Any]:
    return {key: cell.value for key, cell in next(r for r in table.rows if r["step"].value == step).items()}


def test_the_repeated_p_decides_and_is_above_the_usual_one(tmp_path: Path) -> None:
    row = row_of(swept(tmp_path, auto=AUTO), "a → b")
    usual = paired(DIFFERENCES["b"]).p
    assert usual is not None
    assert row["p"] == pytest.approx(usual)
    assert row["p_repeated"] == pytest.approx(repeated_p(DIFFERENCES["b"], 6)) and row["p_repeated"] > usual
    b_to_c = [c - b for b, c in zip(DIFFERENCES["b"], DIFFERENCES["c"], strict=True)]
    corrected = holm([repeated_p(b_to_c, 6), None, repeated_p(DIFFERENCES["b"], 6), None, None, None])
    assert row["p_holm"] == pytest.approx(corrected[2])
    assert row["verdict"] == "confirmed"


def test_an_undecided_claim_says_what_its_sweep_can_still_do(tmp_path: Path) -> None:
    assert row_of(swept(tmp_path / "open", auto=AUTO), "b → c")["verdict"] == "undecided: given up"
    ended = swept(tmp_path / "ended", auto={**AUTO, "max_seeds": 4})
    assert row_of(ended, "b → c")["verdict"] == "undecided: out of seeds"


def test_without_seeds_auto_nothing_is_repeated(tmp_path: Path) -> None:
    table = swept(tmp_path)
    assert "p_repeated" not in row_of(table, "a → b")
    assert "p (repeated)" not in [column.title for column in table.columns]
    assert not any("Jennison" in note for note in table.notes)


def test_a_sweep_s_own_table_is_corrected_for_its_rows(tmp_path: Path) -> None:
    swept(tmp_path, auto=AUTO)
    (table,) = [t for t in gather(tmp_path, CONFIGS).compared if t is not None]
    rows = [{key: cell.value for key, cell in row.items()} for row in table.rows]
    ps = [repeated_p(DIFFERENCES[cell], 6) for cell in "bc"]
    assert [row["p_holm"] for row in rows] == pytest.approx(holm(ps))
    assert [row["verdict"] for row in rows] == ["better", "better"]


@pytest.mark.parametrize(
    "odd", [{"max_seeds": "6", "alpha": 0.05}, {"max_seeds": 6}, {"max_seeds": 2, "alpha": 0.05}, 7]
)
def test_odd_rules_in_a_record_count_as_none(tmp_path: Path, odd: object) -> None:
    assert "p_repeated" not in row_of(swept(tmp_path, auto=odd), "a → b")


def test_a_run_of_no_sweep_beside_them_changes_nothing(tmp_path: Path) -> None:
    before = row_of(swept(tmp_path, auto=AUTO), "a → b")
    folder = add(tmp_path, "d", status="done", metrics=figures(50.0))
    assert ledger.read(folder).status == "done"
    assert row_of(gather(tmp_path, CONFIGS).claims, "a → b")["p_repeated"] == before["p_repeated"]
