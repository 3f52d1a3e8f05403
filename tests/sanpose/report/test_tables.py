"""The report says what became of every cell, in every format, and never presents a small run as the paper's."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from sanpose.cli.report import report
from sanpose.errors import UserError
from sanpose.report.build import tables, write
from sanpose.report.gather import gather
from sanpose.report.table import Cell, Column, Table, standings, symbols
from sanpose.report.terminal import to_terminal
from sanpose.report.writers import WRITERS, to_csv, to_json, to_latex, to_markdown
from sanpose.runs import ledger
from sanpose.status.run import RunFiles
from sweeps.files import append_line
from tests.sanpose import run_records
from tests.sanpose.recorded import CONFIGS, add, add_sweep, average, composed, figures

WARNING = "synthetic, small scale: not comparable with the paper's column"


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """a: three seeds; b: missing; c: done; d: interrupted; e: running; f: failed; g: done. And a broken record."""
    root = tmp_path / "runs"
    for seed, value in enumerate((100.0, 104.0, 108.0)):
        add(root, "a", seed=seed, status="done", metrics=figures(value))
    add(root, "c", status="done", metrics={"h36m": figures(90.0)["h36m"]})
    for folder, epoch in ((add(root, "d", status="interrupted"), 2), (add(root, "e"), 3)):
        append_line(folder / "metrics.jsonl", {"epoch": epoch})
    add(root, "f", status="failed", reason="out of memory: 100% of\nthe_machine & more")
    add(root, "g", status="done", metrics=figures(80.0))
    (root / "torn").mkdir()
    (root / "torn" / "result.json").write_text('{"schema": 1, "id": "to')
    with (root / "e0quick0" / ".lock").open("w") as lock:  # as the process that trains it holds it
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield root


def values(table: Table, key: str) -> dict[str, Any]:
    return {str(row[table.columns[0].key].value): row.get(key, Cell(None)).value for row in table.rows}


def test_table1_has_every_cell_and_its_state(runs: Path) -> None:
    table = tables(runs, CONFIGS)[0]
    assert values(table, "paper_mm") == dict(zip("abcdefg", (67.5, 62.2, 57.9, 53.1, 51.9, 49.6, 48.6), strict=True))
    epochs = composed("d", "quick")["train"]["epochs"]
    assert values(table, "status") == {
        "a": "done",
        "b": "missing",
        "c": "done",
        "d": f"interrupted at epoch 2 of {epochs}",
        "e": f"running at epoch 3 of {epochs}",
        "f": "failed: out of memory: 100% of the_machine & more",
        "g": "done",
    }
    ours = values(table, "ours_mm")
    assert ours == {"a": 104.0, "b": None, "c": 90.0, "d": None, "e": None, "f": None, "g": 80.0}
    first = table.rows[0]
    assert first["ours_mm"].spread == pytest.approx(4.0) and first["seeds"].value == 3
    assert first["difference_mm"].value == pytest.approx(36.5)
    assert (first["untrained_mm"].value, first["mean_pose_mm"].value) == (400.0, 200.0)
    assert first["network"].value == "ResNet-50 → ResNet-18 (width ×0.375)"
    assert first["input"].value == "256×256 → 64×64" and table.rows[6]["input"].value == "288×384 → 64×96"
    assert [row["data_2d"].value for row in table.rows] == ["none", "MPII", "MPII", *["MPII + COCO"] * 4]
    assert [row["san"].value for row in table.rows] == ["no", "no", "yes", "yes", "yes", "no", "yes"]
    notes = "\n".join(table.notes)
    assert "torn" in notes and "Measured, cells a, c, g: MPJPE [mm]; subjects: S9, S11" in notes
    assert {cell.mark for row in table.rows for cell in row.values()} == {"", WARNING}


def test_cells_that_have_not_learned_are_named(tmp_path: Path) -> None:
    for cell, mpjpe in (("a", 150.0), ("b", 210.0), ("c", 199.0)):
        add(tmp_path, cell, status="done", metrics=figures(mpjpe))
    few = figures(190.0)
    few["h36m"] |= {"untrained_mpjpe": 300.0, "mean_pose_mpjpe": 250.0}
    add(tmp_path, "d", status="done", metrics=few)
    (low,) = (note for note in tables(tmp_path, CONFIGS)[0].notes if "mean pose." in note and "half" in note)
    assert low.startswith("Cells b, d: more than half the error of the untrained network")


def test_a_run_whose_process_is_gone_is_not_called_running(tmp_path: Path) -> None:
    append_line(add(tmp_path, "e", status="running") / "metrics.jsonl", {"epoch": 3})
    epochs = composed("e", "quick")["train"]["epochs"]
    status = f"stopped (its process is gone) at epoch 3 of {epochs}"
    assert values(tables(tmp_path, CONFIGS)[0], "status")["e"] == status


@pytest.mark.parametrize("last", ["train", "epoch", "evaluation", "note", "untrained"])
def test_report_and_status_name_the_same_epoch(tmp_path: Path, last: str) -> None:
    """After two whole epochs, in the middle of the third, or before the first."""
    lines = [run_records.measured(0, 400.0, "untrained")]
    if last != "untrained":
        lines += [run_records.within(0, 50), run_records.after(1), run_records.within(1, 50), run_records.after(2)]
    lines += {
        "train": [run_records.within(2, 50)],
        "evaluation": [run_records.measured(2, 90.0)],
        "note": [run_records.within(2, 50), {"kind": "note", "epoch": 2, "step": 50, "text": "continued"}],
    }.get(last, [])
    folder = add(tmp_path, "e", status="interrupted")
    run_records.journal(folder, *lines)
    expected = {"train": 3, "note": 3, "untrained": None}.get(last, 2)
    assert ledger.read(folder).epoch == RunFiles(folder).refresh().epoch == expected
    epochs = composed("e", "quick")["train"]["epochs"]
    status = f"interrupted at epoch {expected} of {epochs}" if expected else "interrupted, no epoch yet"
    assert values(tables(tmp_path, CONFIGS)[0], "status")["e"] == status


def test_a_setting_that_strays_from_the_papers_is_shown(runs: Path) -> None:
    folder = next(runs.glob("c0*"))
    config = ledger.read(folder).config
    config["model"]["attention"], config["eval"]["flip_test"] = "none", True
    record = {"status": "done", "cell": "c", "config": config, "metrics": figures(1.0)}
    ledger.write_result(folder, record)
    row = tables(runs, CONFIGS)[0].rows[2]
    assert (row["san"].value, row["flip_test"].value) == ("yes → no", "no → yes")


def test_the_other_tables(runs: Path) -> None:
    _, _, a, b, mpii, coco = tables(runs, CONFIGS)
    assert values(a, "Photo")["Ours here, cell g"] == 80.0 + 10 and values(a, "Photo")["Ours, as published"] == 52.9
    assert values(a, "mean_of_columns")["Ours, as published"] == pytest.approx(48.57, abs=0.005)
    assert values(b, "mean_of_columns")["Ours, as published"] == pytest.approx(43.27, abs=0.005)
    assert values(b, "Avg.")["Ours here, cell c"] == 80.0 and values(b, "Avg.")["Ours, as published"] == 40.6
    assert values(b, "average_with_scale")["Ours here, cell c"] == 78.0
    assert any("40.6" in n and "43.27" in n for n in b.notes) and not any("43.27" in n for n in a.notes)
    assert values(mpii, "average")["Ours here, cell g"] == 57.0 and values(mpii, "head")["Ours here, cell g"] == 50.0
    assert values(mpii, "average")["Ours here, cell c"] is None
    assert values(coco, "APM")["Ours here, cell a"] == pytest.approx(10.0)
    for table in (a, b, mpii, coco):
        opened = values(table, "runs")
        assert opened["Ours here, cell g"] == "g0quick0" and opened["Ours, as published"] is None


def test_the_other_tables_tell_difference_seeds_and_status_of_every_cell(runs: Path) -> None:
    _, counted, a, b, mpii, coco = tables(runs, CONFIGS)
    for table, cell_a, cell_g in ((a, 104.0 - 48.6, 80.0 - 48.6), (b, 94.0 - 40.6, 70.0 - 40.6)):
        assert values(table, "difference")["Ours here, cell a"] == pytest.approx(cell_a)
        assert values(table, "difference")["Ours here, cell g"] == pytest.approx(cell_g)
    assert values(mpii, "difference")["Ours here, cell a"] == pytest.approx(57.0 - 91.7)
    assert values(coco, "difference")["Ours here, cell a"] == pytest.approx(25.0 - 71.8)
    epochs = composed("d", "quick")["train"]["epochs"]
    for table, c in (
        (a, "done"),
        (b, "done"),
        (mpii, "done, without this metric"),
        (coco, "done, without this metric"),
    ):
        ours = {name: value for name, value in values(table, "status").items() if name.startswith("Ours here")}
        assert list(ours) == [f"Ours here, cell {letter}" for letter in "abcdefg"]
        assert list(ours.values()) == [
            "done", "missing", c, f"interrupted at epoch 2 of {epochs}", f"running at epoch 3 of {epochs}",
            "failed: out of memory: 100% of the_machine & more", "done",
        ]  # fmt: skip
        seeds = [values(table, "seeds")[name] for name in ours]
        assert seeds == [3, 0, 1 if c == "done" else 0, 0, 0, 0, 1]
        assert values(table, "status")["Ours, as published"] is None
    assert values(a, "Avg.")["Ours here, cell b"] is None and values(a, "runs")["Ours here, cell f"] == "f0quick0"
    named = {str(row["network"].value).partition(":")[0]: row for row in counted.rows}
    assert set(named) == {"ResNet-50, 256×256", "ResNet-50 + SAN, 256×256", *(f"Cell {x} here" for x in "acdefg")}
    assert named["ResNet-50, 256×256"]["status"].value == "missing", "cell b"
    assert named["Cell c here"]["difference_mm"].value == pytest.approx(90.0 - 57.9)
    assert [named[f"Cell {x} here"]["seeds"].value for x in "acdefg"] == [3, 1, 0, 0, 0, 1]


def test_without_any_run_every_cell_keeps_its_place(tmp_path: Path) -> None:
    _, counted, *others = tables(tmp_path, CONFIGS)
    for table in others:
        ours = [row for row in table.rows if "status" in row]
        assert [row["status"].value for row in ours] == ["missing"] * 7
        assert str(table.rows[-1][table.columns[0].key].value) == "Ours here, cell g"
    assert [row["status"].value for row in counted.rows] == ["missing"] * 7, "b and c are the published networks"
    assert set(values(tables(tmp_path, CONFIGS)[0], "status").values()) == {"missing"}


def test_which_of_several_configurations_is_shown(tmp_path: Path) -> None:
    add(tmp_path, "c", preset="quick", age=50, status="done", metrics=figures(70.0))
    add(tmp_path, "c", preset="smoke", age=1, status="done", metrics=figures(300.0))
    add(tmp_path, "c", preset="paper", age=0, status="failed", reason="lost")
    table = tables(tmp_path, CONFIGS)[0]
    assert values(table, "ours_mm")["c"] == 70.0
    assert any("c0smoke1 (smoke, done)" in n and "c0paper0 (paper, failed: lost)" in n for n in table.notes)
    assert values(tables(tmp_path, CONFIGS, "smoke")[0], "ours_mm")["c"] == 300.0
    add(tmp_path, "c", preset="paper", seed=1, age=90, status="done", metrics=figures(58.0))
    row = tables(tmp_path, CONFIGS)[0].rows[2]
    assert row["ours_mm"] == Cell(58.0, None, rank="paper: ours") and row["status"].value == "1 failed: lost, 1 done"
    assert row["network"].value == "ResNet-50" and row["seeds"].value == 1


def test_cells_of_different_presets_are_named_and_not_ranked_against_each_other(tmp_path: Path) -> None:
    for cell, shown, value in (("a", "quick", 180.0), ("b", "smoke", 101.0), ("c", "quick", 185.0)):
        add(tmp_path, cell, preset=shown, status="done", metrics=figures(value))
    found = gather(tmp_path, CONFIGS)
    table, claims = found.tables[0], found.claims
    assert {at: what for at, what in standings(table).items() if at[1] == "ours_mm"} == {(0, "ours_mm"): "best"}
    assert any("different presets (a, c: quick; b: smoke)" in note for note in table.notes)
    verdicts = {str(row["step"].value): str(row["verdict"].value) for row in claims.rows}
    status = "undecided: no runs of the two cells were trained in the same way on the same files (b: smoke; c: quick)"
    assert verdicts["b → c"] == status and "no seed done in both cells" in verdicts["c → d"]


def test_seeds_are_those_that_the_mean_is_of(tmp_path: Path) -> None:
    for seed, value in enumerate((180.0, 184.0, None)):
        add(tmp_path, "a", seed=seed, status="done", metrics=figures(182.0) | {"h36m": {"mpjpe": average(value)}})
    add(tmp_path, "b", status="done", metrics={"h36m": {"mpjpe": {"mean_over_frames": None}}})
    rows = tables(tmp_path, CONFIGS)[0].rows
    assert (rows[0]["ours_mm"].value, rows[0]["seeds"].value) == (182.0, 2)
    assert rows[1]["seeds"].value == 0 and rows[1]["status"].value == "done, its MPJPE is not a number"


def test_only_one_preset_leaves_out_the_sweeps_of_others_and_must_exist(tmp_path: Path) -> None:
    run = add(tmp_path, "a", preset="quick", status="done", metrics=figures(180.0))
    add_sweep(tmp_path, "cells", [({"ablation": "a"}, 0, run)])
    add(tmp_path, "a", preset="smoke", status="done", metrics=figures(300.0))
    assert [sweep.name for sweep in gather(tmp_path, CONFIGS, only_preset="quick").sweeps] == ["cells"]
    assert gather(tmp_path, CONFIGS, only_preset="smoke").sweeps == ()
    with pytest.raises(UserError, match="no run has preset 'smok'") as error:
        gather(tmp_path, CONFIGS, only_preset="smok")
    assert "did you mean 'smoke'?" in str(error.value)


def test_marked_in_every_format_and_every_format_is_well_formed(runs: Path) -> None:
    for table in tables(runs, CONFIGS):
        for name, writer in WRITERS.items():
            assert WARNING in writer(table), name
        console = Console(file=io.StringIO(), width=200)
        console.print(to_terminal(table))
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert WARNING in shown and "†" in shown
        rows = list(csv.DictReader(io.StringIO(to_csv(table))))
        assert len(rows) == len(table.rows) and all(None not in row for row in rows)
        assert {r["mark"] for r in rows if r["mark"]} == {WARNING}
        pipes = {
            len(re.findall(r"(?<!\\)\|", line)) for line in to_markdown(table).splitlines() if line.startswith("|")
        }
        assert pipes == {len(table.shown) + 1}
        ends = [line for line in to_latex(table).splitlines() if line.endswith("\\\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in ends} == {len(table.shown) - 1}


def test_json_and_csv_keep_raw_numbers(runs: Path) -> None:
    table = tables(runs, CONFIGS)[0]
    content = json.loads(to_json(table))
    assert content["rows"][0]["ours_mm"] == {"value": 104.0, "std": 4.0, "standing": None, "mark": WARNING}
    assert content["rows"][6]["ours_mm"]["standing"] == "best" and content["rows"][2]["ours_mm"]["standing"] == "second"
    assert content["rows"][5]["ours_mm"]["value"] is None
    row = next(csv.DictReader(io.StringIO(to_csv(table))))
    assert (row["ours_mm"], row["ours_mm_std"], row["difference_mm"], row["paper_mm"]) == (
        "104.0",
        "4.0",
        "36.5",
        "67.5",
    )
    assert row["runs"].split() == ["a0quick0", "a1quick0", "a2quick0"]


def test_best_second_ties_and_marks() -> None:
    columns = (Column("x", "X_1 & |"), Column("low", "Low", "low"), Column("high", "High", "high"))
    marks = ("", "", "one", "two", "one")
    rows = tuple(
        {"x": Cell(f"r{i}"), "low": Cell(v, rank="p", mark=m), "high": Cell(v, rank="p" if i < 2 else "q")}
        for i, (v, m) in enumerate(zip((3.04, 2.0, 1.96, 3.01, None), marks, strict=True))
    )
    table = Table("t", "T", columns, rows)
    assert standings(table) == {
        (1, "low"): "best", (2, "low"): "best", (0, "low"): "second", (3, "low"): "second", (0, "high"): "best",
        (3, "high"): "best",
    }  # fmt: skip
    assert symbols(table) == {"one": "†", "two": "‡"}
    assert "| r1 | **2.0** | 2.0 |" in to_markdown(table) and "| r2 | **2.0**† | 2.0 |" in to_markdown(table)
    assert "X\\_1 & \\|" in to_markdown(table) and "X\\_1 \\& \\textbar{} & Low" in to_latex(table)
    assert "r0 & \\underline{3.0} & \\textbf{3.0} \\\\" in to_latex(table)


def test_a_record_of_something_else_is_named_not_fatal(tmp_path: Path) -> None:
    ledger.create(tmp_path, "alien", {"cell": "a", "model": {}}, {})
    table = tables(tmp_path, CONFIGS)[0]
    assert values(table, "status")["a"] == "missing"
    assert any("alien" in n and "model.backbone" in n for n in table.notes)


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder of runs"):
        tables(tmp_path / "absent", CONFIGS)
    with pytest.raises(UserError, match="cannot be read"):
        tables(tmp_path, tmp_path)
    paper = tmp_path / "paper"
    paper.mkdir()
    good = (CONFIGS / "paper" / "table1_ablation_mpjpe_mm.csv").read_text()
    for text, word in (
        (good.replace(",67.5", ""), "line 2"),
        (good.replace("67.5", "?"), "not a number"),
        ("", "damaged"),
    ):
        (paper / "table1_ablation_mpjpe_mm.csv").write_text(text)
        with pytest.raises(UserError, match=word):
            tables(tmp_path, tmp_path)
    (tmp_path / "file").write_text("")
    table = dataclasses.replace(tables(tmp_path, CONFIGS)[0], name="t")
    with pytest.raises(UserError, match="cannot be written"):
        write([table], tmp_path / "file")


def test_the_command(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--runs", str(runs), "--out", str(out), "--config-dir", str(CONFIGS), "--no-page"]
    result = CliRunner().invoke(report, arguments)
    assert result.exit_code == 0, result.output
    assert "104.0 ± 4.0†" in result.output and "failed" in result.output and "Table 5" not in result.output
    names = {
        f"{t}.{e}"
        for t in ("table1", "claims", "table2", "table3a", "table3b", "table4", "table5", "bill", "broken")
        for e in ("md", "tex", "csv", "json")
    }
    assert {p.name for p in out.iterdir()} == names | {"report.md"}
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    printed = CliRunner().invoke(report, [*arguments, "--all"]).output
    assert "Table 5" in printed
    lines = printed.partition("Table 3 a.")[2].partition("Table 3 b.")[0].splitlines()
    found = {line.split()[3]: line.split()[-1] for line in lines if line.startswith("Ours here,")}
    assert found["b"] == "missing" and found["g"] == "done", "the last of twenty columns is there"
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_the_command_ends_with_the_pages_address(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    out = tmp_path / "out"
    result = CliRunner().invoke(report, ["--runs", str(tmp_path / "runs"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"The page: {(out / 'index.html').as_uri()}"
    assert (out / "index.html").is_file()
