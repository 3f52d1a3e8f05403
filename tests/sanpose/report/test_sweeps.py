"""A sweep's table has a row for every point of its plan, and the bill adds up."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from sanpose.cli.report import report
from sanpose.errors import UserError
from sanpose.report.build import write
from sanpose.report.gather import gather
from sanpose.report.selection.points import Objective, Point, front
from sanpose.report.table import standings
from sanpose.report.tables.bill import Watts, bill_of
from sanpose.report.writers import WRITERS, to_latex, to_markdown
from sanpose.runs import ledger
from sanpose.runs.ledger import RunRecord
from sweeps import record
from tests.sanpose.recorded import CONFIGS, add, add_sweep, figures

NASTY = "<b>_x_</b> & | $5 \\cmd % {y}"


def variant(root: Path, delta: float, seed: int, **result: Any) -> Path:
    folder = add(root, "c", seed=seed, age=int(1000 * delta))
    config = ledger.read(folder).config
    config["model"]["delta_init"] = delta
    ledger.write_result(folder, {"cell": "c", "synthetic": True, "config": config, **result})
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """delta 0: two seeds done, 0.1: one done and one failed, 0.4: pruned and missing, 1: broken and missing."""
    root = tmp_path / "runs"
    done = {"status": "done"}
    points: list[tuple[dict[str, Any], int, Path | str]] = []
    for delta, seed, result in (
        (0.0, 0, {**done, "metrics": figures(60.0), "bill": bill(3600)}),
        (0.0, 1, {**done, "metrics": figures(64.0), "bill": bill(1800)}),
        (0.1, 0, {**done, "metrics": figures(58.0)}),
        (0.1, 1, {"status": "failed", "reason": NASTY}),
        (0.4, 0, {"status": "pruned"}),
    ):
        points.append(({"model.delta_init": delta}, seed, variant(root, delta, seed, **result)))
    points += [({"model.delta_init": 0.4}, 1, "0123456789"), ({"model.delta_init": 1.0}, 1, "9876543210")]
    torn = variant(root, 1.0, 0, status="running")
    (torn / "result.json").write_text("{")
    points.append(({"model.delta_init": 1.0}, 0, torn))
    add_sweep(root, "delta", points, objectives=[{"name": "mpjpe_mm", "direction": "minimize"}], seeds=2)
    return root


def bill(seconds: float, device: str = "cpu", accelerators: int = 2) -> dict[str, Any]:
    return {"wall_s": seconds, "workers": 1, "device": device, "accelerators": accelerators, "step_s": None}


def test_every_point_has_its_row(runs: Path) -> None:
    table = gather(runs, CONFIGS).sweep_tables[0]
    assert table.name == "sweep-delta" and table.title == "Sweep delta: The sweep delta"
    assert [row["values.model.delta_init"].value for row in table.rows] == ["0", "0.1", "0.4", "1"]
    assert [row["seeds"].value for row in table.rows] == ["2 of 2", "1 of 2", "0 of 2", "0 of 2"]
    means = [row["mpjpe_mm"].value for row in table.rows]
    assert means == [62.0, 58.0, None, None] and table.rows[0]["mpjpe_mm"].spread == pytest.approx(8**0.5)
    states = [str(row["status"].value) for row in table.rows]
    assert states[0] == "done" and states[1].startswith("1 done, 1 failed: <b>_x_</b>")
    assert states[2] == "1 pruned, no epoch yet, 1 missing" and states[3] == "1 missing, 1 broken record"
    assert standings(table) == {(1, "mpjpe_mm"): "best"}
    assert table.notes[0].startswith("Runs: 3 done, 2 missing, 1 failed, 1 pruned, 1 broken. Failed: 1 × <b>_x_</b>")
    assert "delta_init 0.1 (58.0 MPJPE (mm), 1 of 2 seeds)" in table.notes[1]
    assert table.rows[0]["mpjpe_mm"].mark == "synthetic, small scale"


def test_text_from_records_is_escaped(runs: Path) -> None:
    table = gather(runs, CONFIGS).sweep_tables[0]
    assert "\\<b\\>\\_x\\_\\</b\\> & \\|" in to_markdown(table)
    assert "\\textless{}b\\textgreater{}\\_x\\_" in to_latex(table) and "\\cmd" not in to_latex(table)


def test_a_point_never_mixes_configurations(tmp_path: Path) -> None:
    same = [add(tmp_path, "c", seed=s, status="done", metrics=figures(60.0)) for s in range(2)]
    other = add(tmp_path, "c", seed=2, preset="smoke", status="done", metrics=figures(300.0))
    points = [({"x": 1}, seed, run) for seed, run in enumerate([*same, other])]
    add_sweep(tmp_path, "mixed", points)
    table = gather(tmp_path, CONFIGS).sweep_tables[0]
    assert [row["mpjpe_mm"].value for row in table.rows] == [60.0, 300.0]
    assert any("never averaged" in note for note in table.notes)


def test_a_point_tried_again_counts_once(tmp_path: Path) -> None:
    failed = add(tmp_path, "c", age=9, status="failed", reason="lost")
    again = add(tmp_path, "c", status="done", metrics=figures(60.0))
    add_sweep(tmp_path, "again", [({"x": 1}, 0, failed), ({"x": 1}, 0, again)])
    row = gather(tmp_path, CONFIGS).sweep_tables[0].rows[0]
    assert (row["seeds"].value, row["status"].value) == ("1 of 1", "done")


def test_a_point_that_could_not_be_begun_has_failed_with_its_reason(tmp_path: Path) -> None:
    done = add(tmp_path, "c", status="done", metrics=figures(60.0))
    add_sweep(tmp_path, "some", [({"x": 1}, 0, done)])
    record.append_trial(tmp_path / "sweeps" / "some", record.TrialRecord(1, "x 2", {"x": 2}, 0, "", "x=2 is too much"))
    table = gather(tmp_path, CONFIGS).sweep_tables[0]
    assert [row["status"].value for row in table.rows] == ["done", "failed: x=2 is too much"]
    assert table.notes[0] == "Runs: 1 done, 1 failed. Failed: 1 × x=2 is too much."
    assert table.rows[1]["runs"].value is None


def test_what_has_not_begun_has_its_row(tmp_path: Path) -> None:
    done = [variant(tmp_path, d, 0, status="done", metrics=figures(60.0)) for d in (0.0, 0.1)]
    points = [({"model.delta_init": d}, 0, run) for d, run in zip((0.0, 0.1), done, strict=True)]
    axes = [{"name": "model.delta_init", "values": [0.0, 0.01, 0.1, 0.5, 1.0]}]
    add_sweep(tmp_path, "delta", points, axes=axes, seeds=3)
    table = gather(tmp_path, CONFIGS).sweep_tables[0]
    rows = {str(row["values.model.delta_init"].value): row for row in table.rows}
    assert set(rows) == {"0", "0.01", "0.1", "0.5", "1"}
    assert (rows["0"]["seeds"].value, rows["0"]["status"].value) == ("1 of 3", "1 done, 2 missing")
    assert (rows["0.5"]["seeds"].value, rows["0.5"]["status"].value) == ("0 of 3", "missing")
    assert rows["0.5"]["runs"].value is None and table.notes[0] == "Runs: 13 missing, 2 done."


def test_of_a_search_only_the_points_that_are_drawn_are_known(tmp_path: Path) -> None:
    done = add(tmp_path, "c", status="done", metrics=figures(60.0))
    axes = [{"name": "x", "values": {"low": 0.0, "high": 1.0, "log": False, "whole": False}}]
    add_sweep(tmp_path, "some", [({"x": 0.5}, 0, done)], axes=axes, seeds=2, search={"sampler": "tpe"})
    table = gather(tmp_path, CONFIGS).sweep_tables[0]
    assert [(row["seeds"].value, row["status"].value) for row in table.rows] == [("1 of 2", "1 done, 1 missing")]


def test_every_point_is_tested_against_the_first(tmp_path: Path) -> None:
    """Over three seeds 0.1 is 10 mm better, 0.5 is 5 mm worse, 1 differs by less than the seeds do, 2 has not begun."""
    noise = {0.0: (0.0, 1.0, 2.0), 0.1: (-10.0, -7.2, -9.9), 0.5: (5.1, 5.9, 7.0), 1.0: (3.0, -2.0, 3.0)}
    points = [
        ({"model.delta_init": delta}, seed, variant(tmp_path, delta, seed, status="done", metrics=figures(60.0 + more)))
        for delta, values in noise.items()
        for seed, more in enumerate(values)
    ]
    axes = [{"name": "model.delta_init", "values": [*noise, 2.0]}]
    add_sweep(tmp_path, "delta", points, axes=axes, seeds=3)
    report = gather(tmp_path, CONFIGS)
    table = next(table for table in report.all_tables if table.name == "compared-delta")
    rows = {str(row["point"].value): row for row in table.rows}
    assert table.title == "Sweep delta, tested: each point compared with delta_init 0.0"
    verdicts = {name.removeprefix("delta_init "): row["verdict"].value for name, row in rows.items()}
    assert {name: verdicts[name] for name in ("0.1", "0.5")} == {"0.1": "better", "0.5": "worse"}
    assert str(verdicts["1.0"]).startswith("undecided: about ") and str(verdicts["1.0"]).endswith(" more seeds")
    assert verdicts["2"] == "undecided: no seed done in both points, at least 3 are needed"
    found = rows["delta_init 0.1"]
    assert found["difference"].value == pytest.approx(-10.0333, abs=1e-4) and found["seeds"].value == 3
    assert str(found["p_text"].value) == f"{found['p'].value:.4f}" and found["interval_high"].value < 0
    assert found["verdict"].mark.startswith("synthetic, small scale: a verdict on these runs")
    assert (rows["delta_init 2"]["status"].value, rows["delta_init 2"]["seeds"].value) == ("missing", 0)
    for writer in WRITERS.values():
        assert "undecided: about " in writer(table) and "delta_init" in writer(table).replace("\\", "")
    names = [table.name for table in report.all_tables]
    assert names.index("compared-delta") == names.index("sweep-delta") + 1


def test_a_figure_that_is_to_be_high_is_better_above(tmp_path: Path) -> None:
    points: list[tuple[dict[str, Any], int, Path | str]] = []
    for place, values in enumerate([(0.25, 0.26, 0.28), (0.35, 0.365, 0.375)]):
        for seed, ap in enumerate(values):
            metrics = {**figures(60.0), "coco": {"AP": ap}}
            run = variant(tmp_path, place / 10, seed, status="done", metrics=metrics)
            points.append(({"model.delta_init": place / 10}, seed, run))
    add_sweep(tmp_path, "ap", points, objectives=[{"name": "ap", "direction": "maximize"}], seeds=3)
    (table,) = (table for table in gather(tmp_path, CONFIGS).compared if table)
    assert table.rows[0]["verdict"].value == "better" and "better where the difference is above 0" in table.notes[0]
    assert table.rows[0]["interval"].value == "+0.0876 to +0.1124"


def test_points_that_saw_other_files_are_not_tested(tmp_path: Path) -> None:
    done = {"status": "done", "metrics": figures(60.0)}
    points = [
        ({"x": delta}, seed, variant(tmp_path, delta, seed, **done, fingerprints={"h36m": f"{delta}"}))
        for delta in (0.0, 0.1)
        for seed in range(2)
    ]
    add_sweep(tmp_path, "mixed", points, seeds=2)
    (table,) = (table for table in gather(tmp_path, CONFIGS).compared if table)
    assert table.rows[0]["seeds"].value == 0 and table.rows[0]["status"].value == "done"


def test_a_search_has_no_first_point(tmp_path: Path) -> None:
    runs = [variant(tmp_path, d, 0, status="done", metrics=figures(60.0)) for d in (0.0, 0.1)]
    points = [({"x": i}, 0, run) for i, run in enumerate(runs)]
    add_sweep(tmp_path, "searched", points, search={"sampler": "tpe"})
    add_sweep(tmp_path, "single", points[:1])
    assert gather(tmp_path, CONFIGS).compared == (None, None)


def test_one_sweep_alone(runs: Path) -> None:
    add(runs, "a", status="done", metrics=figures(90.0))
    add_sweep(runs, "other", [({"x": 1}, 0, "a0quick0")])
    found = gather(runs, CONFIGS, "delta")
    assert {run.id for run in found.records} == {"c0quick0", "c1quick0", "c0quick100", "c1quick100", "c0quick400"}
    assert [table.name for table in found.sweep_tables] == ["sweep-delta"] and len(found.broken) == 1
    statuses = [row["status"].value for row in found.tables[0].rows]
    assert statuses == ["missing", "missing", "done", *["missing"] * 4]
    assert found.tables[0].rows[2]["ours_mm"].value == 62.0  # delta 0 is Table 1's cell c
    with pytest.raises(UserError, match="did you mean 'delta'"):
        gather(runs, CONFIGS, "delat")


def test_a_broken_sweep_is_named_not_fatal(runs: Path) -> None:
    (runs / "sweeps" / "delta" / "sweep.json").write_text("[]")
    found = gather(runs, CONFIGS)
    assert found.sweeps == () and any(entry.path.name == "sweep.json" for entry in found.broken)
    with pytest.raises(UserError, match="sweep's record cannot be read"):
        gather(runs, CONFIGS, "delta")


def test_two_objectives_have_a_front(tmp_path: Path) -> None:
    points = []
    for seed, (mpjpe, macs) in enumerate([(60.0, 3e9), (50.0, 4e9), (65.0, 3e9), (70.0, 1e9), (50.0, 4e9)]):
        run = add(tmp_path, "c", seed=seed, status="done", metrics=figures(mpjpe), macs=macs)
        points.append(({"x": seed}, 0, run))
    aims = [{"name": "mpjpe_mm", "direction": "minimize"}, {"name": "macs", "direction": "minimize"}]
    add_sweep(tmp_path, "both", points, objectives=aims)
    table = gather(tmp_path, CONFIGS).sweep_tables[0]
    assert table.rows[0]["macs"].value == pytest.approx(3.0)
    note = next(note for note in table.notes if note.startswith("Pareto front"))
    assert [f"x {i}" in note for i in range(5)] == [True, True, False, True, True]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_front_is_what_nothing_beats(pairs: list[tuple[int, int]], shuffler: random.Random) -> None:
    aims = (Objective("a", "low"), Objective("b", "high"))
    points = [point(i, a, b) for i, (a, b) in enumerate(pairs)]
    found = {p.label for p in front(points, aims)}
    for i, (a, b) in enumerate(pairs):
        beaten = any(x <= a and y >= b and (x, y) != (a, b) for x, y in pairs)
        assert (str(i) in found) == (not beaten)
    shuffler.shuffle(points)
    assert {p.label for p in front(points, aims)} == found


def point(name: int, a: float, b: float) -> Point:
    run = RunRecord(str(name), Path(str(name)), "done", {}, 0.0, extra={"a": a, "b": b})
    return Point(str(name), {"x": name}, (run,), 1, ("done",))


def test_the_bill_by_hand(runs: Path) -> None:
    add(runs, "a", status="done", metrics=figures(90.0), bill=bill(7200, "cuda", 4))
    table = gather(runs, CONFIGS, watts=Watts(10.0, 250.0)).bill
    rows = {str(row["what"].value): [row[c.key].value for c in table.columns[1:]] for row in table.rows}
    assert rows["Cell a"] == [1, 2.0, 8.0, 2.0, 0]
    assert rows["Cell c"] == [2, 1.5, 3.0, pytest.approx(0.03), 0]
    assert rows["Sweep delta"] == [5, 1.5, 3.0, pytest.approx(0.03), 3]
    assert rows["All runs"] == [6, 3.5, 11.0, pytest.approx(2.03), 3]
    assert any("10 W per CPU core or 250 W per GPU" in note for note in table.notes)


@pytest.mark.parametrize("bill", [None, {}, {"wall_s": 5.0}, {"wall_s": None, "accelerators": 1}, "nonsense"])
def test_an_unknown_bill_is_unknown_not_zero(tmp_path: Path, bill: object) -> None:
    run = ledger.read(add(tmp_path, "a", status="running", bill=bill))
    assert bill_of(run, Watts()).unknown == 1
    row = gather(tmp_path, CONFIGS).bill.rows[-1]
    assert row["hours"].value is None and row["unknown"].value == 1


def test_all_of_it_in_every_order(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_all, texts = ledger.read_all, []
    for turn in (1, -1):
        monkeypatch.setattr(ledger, "read_all", lambda *a, turn=turn: tuple(x[::turn] for x in read_all(*a)))
        out = tmp_path / f"out{turn}"
        write([t for t in gather(runs, CONFIGS).all_tables if t.name != "broken"], out)
        texts.append({p.name: p.read_text() for p in sorted(out.iterdir()) if "table1" not in p.name})
    assert texts[0].pop("report.md") and texts[1].pop("report.md")  # its notes name runs in the order of reading
    assert texts[0] == texts[1]


def test_many_broken_records_are_all_in_their_table(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:010}").mkdir()
    found = gather(tmp_path, CONFIGS)
    assert len(found.all_tables[-1].rows) == 30 and found.all_tables[-1].name == "broken"
    assert any("18 more records are broken" in note for note in found.tables[0].notes)


def test_the_command_takes_a_sweep(runs: Path, tmp_path: Path) -> None:
    arguments = ["--runs", str(runs), "--out", str(tmp_path / "out"), "--config-dir", str(CONFIGS), "--no-page"]
    result = CliRunner().invoke(report, [*arguments, "--sweep", "delta", "--watts", "20", "400"])
    assert result.exit_code == 0, result.output
    assert "Effect of each step" in result.output and (tmp_path / "out" / "sweep-delta.tex").is_file()
    assert "20 W per CPU core" in (tmp_path / "out" / "bill.md").read_text()
    assert "## Sweep delta: The sweep delta" in (tmp_path / "out" / "report.md").read_text()
    assert isinstance(CliRunner().invoke(report, [*arguments, "--sweep", "detla"]).exception, UserError)
