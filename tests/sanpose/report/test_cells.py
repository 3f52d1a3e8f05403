"""A run stands for the cell that its settings make it, and no figure mixes two configurations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sanpose.config.compose import compose
from sanpose.errors import UserError
from sanpose.report.gather import gather
from sanpose.report.selection.cells import LETTERS, SETTINGS, changes, definitions, setting
from sanpose.runs import ledger
from tests.sanpose.recorded import CONFIGS, add, composed, figures


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None], cell: str = "", mpjpe: float = 50.0) -> None:
    record = ledger.read(folder)
    change(record.config)
    result = {"status": "done", "config": record.config, "cell": cell, "synthetic": True, "metrics": figures(mpjpe)}
    ledger.write_result(folder, result)


def ours(root: Path, letter: str) -> float | None:
    row = gather(root, CONFIGS).tables[0].rows[LETTERS.index(letter)]
    value = row["ours_mm"].value
    return value if isinstance(value, float) else None


@pytest.mark.parametrize("preset", ["quick", "smoke", "paper"])
def test_the_definitions_are_hydras(preset: str) -> None:
    for letter, cell in definitions(CONFIGS, {preset})[preset].items():
        config = compose([f"preset={preset}", f"ablation={letter}"]).plain()
        assert cell.settings == {key: setting(config, key) for key in SETTINGS}
        run = ledger.RunRecord("x", Path("x"), "done", config, 0.0)
        assert changes(run, {letter: cell}, letter) == ()


def test_a_run_is_found_by_its_settings_whatever_it_is_called(tmp_path: Path) -> None:
    rewrite(add(tmp_path, "c"), lambda config: config.update(cell=""), cell="", mpjpe=61.0)
    rewrite(add(tmp_path, "b"), lambda config: None, cell="g", mpjpe=62.0)
    assert (ours(tmp_path, "c"), ours(tmp_path, "b"), ours(tmp_path, "g")) == (61.0, 62.0, None)


@pytest.mark.parametrize("key,value", [("delta_init", 0.4), ("attention_scale", True), ("attention", "channel")])
def test_a_variant_is_not_the_cell_that_it_is_labelled(tmp_path: Path, key: str, value: object) -> None:
    rewrite(add(tmp_path, "c", seed=1), lambda config: config["model"].update({key: value}), cell="c", mpjpe=1.0)
    assert ours(tmp_path, "c") is None
    notes = gather(tmp_path, CONFIGS).tables[0].notes
    assert any(note.startswith("Runs that stand for no cell: c1quick0 (done)") for note in notes)
    rewrite(add(tmp_path, "c"), lambda config: None, mpjpe=61.0)
    assert ours(tmp_path, "c") == 61.0


def test_a_label_counts_at_a_scale_of_ones_own_and_is_marked(tmp_path: Path) -> None:
    rewrite(add(tmp_path, "g"), lambda config: config["model"].update(backbone="resnet50"), cell="g", mpjpe=70.0)
    table = gather(tmp_path, CONFIGS).tables[0]
    assert ours(tmp_path, "g") == 70.0
    assert "model.backbone=resnet50 instead of resnet34" in table.rows[6]["ours_mm"].mark
    assert any("The runs of cell g have its label" in note for note in table.notes)
    assert gather(tmp_path, CONFIGS).claims.rows[1]["seeds"].value == 0
    rewrite(add(tmp_path, "g", seed=3), lambda config: None, cell="", mpjpe=80.0)
    assert ours(tmp_path, "g") == 80.0  # the cell as defined goes first


def test_seeds_are_averaged_and_nothing_else_is(tmp_path: Path) -> None:
    for seed in range(3):
        add(tmp_path, "c", seed=seed, status="done", metrics=figures(60.0 + seed))
    rewrite(add(tmp_path, "c", seed=7), lambda config: config["train"].update(learning_rate=0.5), cell="c", mpjpe=0.0)
    row = gather(tmp_path, CONFIGS).tables[0].rows[2]
    assert (row["ours_mm"].value, row["ours_mm"].spread, row["seeds"].value) == (61.0, 1.0, 3)
    assert row["runs"].value == "c0quick0 c1quick0 c2quick0"


def test_settings_other_than_the_presets_are_told(tmp_path: Path) -> None:
    for cell in "bc":
        rewrite(add(tmp_path, cell), lambda config: config["train"].update(epochs=77), cell=cell, mpjpe=60.0)
    table = gather(tmp_path, CONFIGS).tables[0]
    usual = composed("c", "quick")["train"]["epochs"]
    note = f"Cells b, c: trained with other settings than the shipped preset quick: train.epochs=77 instead of {usual}."
    assert note in table.notes


def test_a_changed_paper_run_is_not_presented_as_the_papers(tmp_path: Path) -> None:
    add(tmp_path, "a", preset="paper", status="done", metrics=figures(68.0))
    folder = add(tmp_path, "b", preset="paper")
    config = ledger.read(folder).config
    config["train"]["epochs"] = 1
    ledger.write_result(folder, {"status": "done", "config": config, "metrics": figures(90.0)})
    rows = gather(tmp_path, CONFIGS).tables[0].rows
    assert rows[0]["ours_mm"].mark == "" and rows[0]["ours_mm"].rank == "paper: ours"
    assert "train.epochs=1 instead of 200" in rows[1]["ours_mm"].mark


def test_workers_and_paths_do_not_part_runs(tmp_path: Path) -> None:
    add(tmp_path, "c", status="done", metrics=figures(60.0))

    def elsewhere(config: dict[str, Any]) -> None:
        config["train"].update(workers=2, keep=9)
        config["data"]["sources"]["h36m"]["file"] = "/elsewhere/h36m.h5"
        config["runs"] = "/elsewhere"

    rewrite(add(tmp_path, "c", seed=1), elsewhere, mpjpe=70.0)
    assert ours(tmp_path, "c") == 65.0


def test_one_way_of_training_for_the_whole_table(tmp_path: Path) -> None:
    """Two cells in one way, then c alone in another: c's row stays comparable with b's, though the other is newer."""
    for cell in "bc":
        add(tmp_path, cell, age=50, status="done", metrics=figures(60.0))
    rewrite(add(tmp_path, "c", age=0), lambda config: config["train"].update(epochs=50), mpjpe=40.0)
    assert ours(tmp_path, "c") == 60.0


def test_unreadable_definitions(tmp_path: Path) -> None:
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "quick.yaml").write_text("a: [")
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(UserError, match="definitions of the cells"):
        definitions(tmp_path, {"quick"})
    assert definitions(tmp_path, {"other"}) == {}


def test_table_2(tmp_path: Path) -> None:
    add(tmp_path, "b", status="done", metrics=figures(70.0))
    add(tmp_path, "c", preset="paper", status="done", metrics=figures(58.0))
    rows = {str(row["network"].value): row for row in gather(tmp_path, CONFIGS).tables[1].rows}
    plain, san = rows["ResNet-50, 256×256"], rows["ResNet-50 + SAN, 256×256"]
    assert (plain["params_m"].value, san["params_m"].value) == (34.291392, 39.536833)
    assert plain["gflops"].value == pytest.approx(14.0990, abs=5e-5)
    assert (plain["paper_gflops"].value, san["paper_params_m"].value) == (14.10, 39.0)
    assert san["ours_mm"].value == 58.0 and "ours_mm" not in plain
    assert san["runs"].value == "c0paper0" and "runs" not in plain
    small = rows[f"Cell b here: ResNet-18 (width ×{composed('b', 'quick')['model']['width']:g}), 64×64"]
    assert small["ours_mm"].value == 70.0 and small["difference_mm"].value == pytest.approx(70.0 - 62.2)
    assert san["difference_mm"].value == pytest.approx(58.0 - 57.9) and san["seeds"].value == 1
    assert [rows[f"Cell {letter} here"]["status"].value for letter in "adefg"] == ["missing"] * 5 and len(rows) == 8
