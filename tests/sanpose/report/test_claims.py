"""Verdicts follow from the seeds and from nothing else, and never say more than they do."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanpose.errors import UserError
from sanpose.report.gather import Report, gather
from sanpose.report.selection.groups import select, settings_of
from sanpose.report.table import Table
from sanpose.report.tables.claims import PublishedClaim, claims
from sanpose.report.writers import WRITERS
from sanpose.runs import ledger
from sanpose.statistics.paired import holm, paired, pairs_needed
from tests.sanpose.recorded import CONFIGS, add, figures

DIFFERENCES = st.lists(st.floats(-50, 50).map(lambda x: round(x, 3)), min_size=1, max_size=12)


def done(root: Path, cell: str, value: float, **more: Any) -> Path:
    return add(root, cell, status="done", metrics=figures(value), **more)


def column(table: Table, key: str) -> dict[str, Any]:
    return {str(row["step"].value): row[key].value if key in row else None for row in table.rows}


def found(root: Path) -> Report:
    return gather(root, CONFIGS)


def test_paired_by_hand() -> None:
    one = paired([2.0, 4.0, 6.0])  # mean 4, deviation 2, standard error 2 / sqrt 3; t(2, 97.5 %) = 4.302653
    half = 4.302652729911275 * 2 / math.sqrt(3)
    assert (one.mean, one.deviation, one.pairs) == (4.0, 2.0, 3)
    assert one.interval == pytest.approx((4 - half, 4 + half))
    t = 4 / (2 / math.sqrt(3))
    assert one.p == pytest.approx(1 - t / math.sqrt(2 + t * t))  # Student's t with two degrees of freedom, closed form
    assert one.bootstrap == (2.0, 6.0)  # of 27 resamples one is all 2s: 3.7 %, above the 2.5 % that are cut off
    assert not one.decided and paired([3.9, 4.0, 4.1]).decided


def test_too_few_seeds_have_no_interval() -> None:
    alone = paired([3.0])
    assert (alone.mean, alone.deviation, alone.interval, alone.bootstrap, alone.p) == (3.0, None, None, None, None)
    same = paired([0.3, 0.3, 0.3])
    assert same.deviation == 0 and same.p is None and not same.decided


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, and never below the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([None, 0.02, 0.6]) == [None, pytest.approx(0.06), 1.0]
    assert holm([]) == [] and holm([0.03]) == [0.03]


def test_holm_keeps_its_promise() -> None:
    """Six claims without any effect, six seeds each: a false decision in at most 5 % of families."""
    draw, families, wrong = random.Random(5), 1500, 0
    for _ in range(families):
        tests = [paired([draw.gauss(0, 1) for _ in range(6)], resampled=False).p for _ in range(6)]
        wrong += any(p is not None and p < 0.05 for p in holm(tests))
    assert wrong / families < 0.05 + 3 * math.sqrt(0.05 * 0.95 / families)
    assert wrong > 0


def test_how_many_pairs_a_difference_needs() -> None:
    # The textbook's figures for a paired t-test, 5 %, two-sided, power 80 %.
    assert [pairs_needed(effect, 1.0) for effect in (0.2, 0.5, 0.8, 1.0)] == [199, 34, 15, 10]
    assert pairs_needed(-0.5, 1.0) == 34 and pairs_needed(5.0, 10.0) == 34
    assert pairs_needed(0.5, 1.0, tests=6) == 52 and pairs_needed(0.5, 1.0, tests=1) == 34
    assert pairs_needed(1e6, 1.0) == 2 and pairs_needed(0.0, 1.0) is None


def test_the_suggested_number_has_the_power_it_promises() -> None:
    draw, hits, rounds = random.Random(1), 0, 400
    for _ in range(rounds):
        hits += paired([draw.gauss(1.0, 1.0) for _ in range(10)]).decided
    assert 0.74 < hits / rounds < 0.86


@given(DIFFERENCES, st.randoms())
@settings(deadline=None, max_examples=60)
def test_the_order_of_the_seeds_changes_nothing(values: list[float], shuffler: random.Random) -> None:
    other = list(values)
    shuffler.shuffle(other)
    assert paired(values) == paired(other)


@given(DIFFERENCES, st.floats(-10, 10).filter(lambda x: abs(x) > 0.01))
@settings(deadline=None, max_examples=100)
def test_never_more_verdict_than_data(values: list[float], published: float) -> None:
    ours = paired(values)
    claim = PublishedClaim("b", "c", "SAN", published, tuple(range(len(values))), ours, (), corrected=holm([ours.p])[0])
    if claim.verdict in ("confirmed", "contradicted"):
        assert len(values) >= 2 and ours.interval is not None
        low, high = ours.interval
        assert low > 0 or high < 0
        assert (claim.verdict == "confirmed") == ((ours.mean < 0) == (published < 0))
    else:
        assert claim.verdict.startswith("undecided: ")
        assert ours.interval is None or ours.interval[0] <= 0 <= ours.interval[1]
    if len(values) == 1:
        assert claim.verdict == "undecided: one seed, at least 2 more"


def test_the_six_steps_over_seeds(tmp_path: Path) -> None:
    for seed, (a, b, c) in enumerate([(80.0, 70.0, 60.0), (82.0, 73.0, 66.0), (81.0, 71.0, 70.0)]):
        for cell, value in zip("abc", (a, b, c), strict=True):
            done(tmp_path, cell, value, seed=seed)
    done(tmp_path, "d", 55.0)
    add(tmp_path, "e", status="failed", reason="out of memory")
    table = found(tmp_path).claims
    assert list(column(table, "step")) == ["b → c", "f → g", "a → b", "c → d", "d → e", "e → g"]
    assert column(table, "paper_mm") == pytest.approx(
        {"b → c": -4.3, "f → g": -1.0, "a → b": -5.3, "c → d": -4.8, "d → e": -1.2, "e → g": -3.3}
    )
    assert column(table, "ours_mm") == {
        "a → b": pytest.approx(-29 / 3), "b → c": pytest.approx(-6.0), "c → d": -5.0, "f → g": None, "d → e": None,
        "e → g": None,
    }  # fmt: skip
    assert column(table, "seeds") == {"a → b": 3, "b → c": 3, "c → d": 1, "f → g": 0, "d → e": 0, "e → g": 0}
    verdicts = column(table, "verdict")
    assert verdicts["a → b"] == "confirmed"
    # p 0.0045 is the smallest of six, so Holm's is six times as large.
    assert column(table, "p_holm")["a → b"] == pytest.approx(6 * column(table, "p")["a → b"])
    assert column(table, "p_holm")["b → c"] == pytest.approx(5 * column(table, "p")["b → c"])
    # Differences -10, -7, -1: mean -6, deviation 4.583, effect 1.309: at 5 %/6 11 pairs have the power, 3 are there.
    assert verdicts["b → c"] == "undecided: about 8 more seeds"
    assert verdicts["c → d"] == "undecided: one seed, at least 2 more"
    assert verdicts["d → e"] == "undecided: no seed done in both cells, at least 3 are needed"
    assert column(table, "runs_status")["d → e"] == "d: done; e: failed: out of memory"
    assert "c0quick0" in column(table, "runs")["b → c"].split()
    for row in table.rows[:1]:
        assert row["verdict"].mark == "synthetic, small scale: a verdict on these runs, not on the paper's experiment"
    for writer in WRITERS.values():
        assert "undecided: about 8 more seeds" in writer(table)


def test_a_step_the_wrong_way_is_contradicted(tmp_path: Path) -> None:
    for seed in range(3):
        done(tmp_path, "b", 70.0 + seed, seed=seed)
        done(tmp_path, "c", 75.0 + seed + 0.1 * seed, seed=seed)
    assert column(found(tmp_path).claims, "verdict")["b → c"] == "contradicted"


def test_only_runs_trained_in_the_same_way_are_compared(tmp_path: Path) -> None:
    done(tmp_path, "b", 70.0)
    folder = done(tmp_path, "c", 60.0)
    record = ledger.read(folder)
    record.config["train"]["epochs"] = 99
    ledger.write_result(
        folder, {"status": "done", "config": record.config, "metrics": record.metrics, "synthetic": True}
    )
    assert column(found(tmp_path).claims, "seeds")["b → c"] == 0
    done(tmp_path, "c", 60.0, seed=1)
    assert column(found(tmp_path).claims, "seeds")["b → c"] == 0  # the same way, but another seed
    done(tmp_path, "b", 71.0, seed=1)
    table = found(tmp_path).claims
    assert column(table, "seeds")["b → c"] == 1 and column(table, "ours_mm")["b → c"] == -11.0


def test_only_runs_that_saw_the_same_files_are_compared(tmp_path: Path) -> None:
    one, two = {"h36m": "1", "mpii": "1", "coco": "1"}, {"h36m": "1", "mpii": "1", "coco": "2"}
    for seed in range(2):
        done(tmp_path, "d", 60.0 + seed, seed=seed, fingerprints=one)
        done(tmp_path, "e", 55.0 - seed, seed=seed, fingerprints=two)
    assert column(found(tmp_path).claims, "seeds")["d → e"] == 0, "COCO is another file"
    other = {"h36m": "1", "mpii": "2"}
    done(tmp_path, "c", 70.0, fingerprints=other)
    assert column(found(tmp_path).claims, "seeds")["c → d"] == 0, "and so is MPII, though c has no COCO"
    done(tmp_path, "c", 71.0, seed=1, fingerprints={"h36m": "1", "mpii": "1"})
    assert column(found(tmp_path).claims, "ours_mm")["c → d"] == -10.0


@pytest.mark.parametrize("newest", ["1", "2"])
def test_no_other_group_of_a_cell_hides_the_one_that_fits(tmp_path: Path, newest: str) -> None:
    """d was trained with two files of COCO, e with one of them: the other d is not in the way, whichever is newer."""
    for coco, value in (("1", 60.0), ("2", 90.0)):
        data = {"h36m": "1", "mpii": "1", "coco": coco}
        done(tmp_path, "d", value, age=0 if coco == newest else 9, fingerprints=data)
    done(tmp_path, "c", 70.0, fingerprints={"h36m": "1", "mpii": "1"})
    done(tmp_path, "e", 50.0, fingerprints={"h36m": "1", "mpii": "1", "coco": "1"})
    table = found(tmp_path).claims
    assert column(table, "ours_mm")["d → e"] == -10.0
    shown, left = (-10.0, "+20.00") if newest == "1" else (20.0, "-10.00")
    assert column(table, "ours_mm")["c → d"] == shown
    note = next(note for note in table.notes if note.startswith("c → d can also be tested on runs that"))
    assert f"{left} (quick, 1 seed, such as c0quick0 and d0quick" in note


def test_an_unmeasured_run_makes_no_pair(tmp_path: Path) -> None:
    done(tmp_path, "b", 70.0)
    add(tmp_path, "c", status="done", metrics={"mpii": {}})
    assert column(found(tmp_path).claims, "seeds")["b → c"] == 0


def test_the_order_of_the_records_changes_no_claim(tmp_path: Path) -> None:
    for seed, cell in enumerate("bcbcbc"):
        done(tmp_path, cell, 70.0 - seed, seed=seed // 2)
    records, _ = ledger.read_all(tmp_path)
    keys = {run.id: settings_of(run) for run in records}
    first = claims(select(records, CONFIGS, keys), CONFIGS, {})
    assert first == claims(select(records[::-1], CONFIGS, keys), CONFIGS, {})


def test_a_paper_table_without_a_cell_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "paper").mkdir()
    for path in (CONFIGS / "paper").glob("*.csv"):
        lines = path.read_text().splitlines(keepends=True)
        (tmp_path / "paper" / path.name).write_text("".join(line for line in lines if not line.startswith("g,")))
    with pytest.raises(UserError, match="cell f or g is missing"):
        claims(select([], tmp_path, {}), tmp_path, {})
