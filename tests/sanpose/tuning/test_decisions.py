"""seeds=auto in the driver: which trials come next, what is printed and recorded, the hours; without Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sanpose.claims import record as claims_record
from sanpose.claims.auto import AutoSeeds
from sanpose.claims.record import ClaimsRecord
from sanpose.runs import ledger
from sanpose.tuning import sweep
from sanpose.tuning.decisions import Decisions
from sanpose.tuning.sweep import Sweep
from sweeps.definition import Values
from sweeps.study import TrialResult
from tests.sanpose.recorded import CONFIGS
from tests.sanpose.tuning.small import definition

CELLS = "abcdefg"


def requested(folder: Path, cells: str = CELLS, *more: str) -> Sweep:
    path = definition(folder, {"title": "x", "axes": {"ablation": list(cells)}})
    return sweep.read([path, "preset=smoke", "seeds=auto", f"runs={folder / 'runs'}", *more])


def trial(cell: str, seed: int, figure: float | None, ended: bool = True, run: str = "") -> TrialResult:
    return TrialResult({"ablation": cell}, seed, run or f"{cell}{seed}", figure, ended)


def decisions(of: Sweep, **more: object) -> tuple[Decisions, list[str], list[ClaimsRecord]]:
    said: list[str] = []
    saved: list[ClaimsRecord] = []
    assert of.auto is not None
    return Decisions(of, of.auto, say=said.append, save=saved.append, **more), said, saved  # type: ignore[arg-type]


def cells_of(points: list[tuple[Values, int]]) -> list[tuple[str, int]]:
    return [(str(values["ablation"]), seed) for values, seed in points]


def three(effect: float, spread: tuple[float, ...] = (0.0, 0.3, -0.2)) -> list[TrialResult]:
    """Three seeds of a and b, which differ by `effect`."""
    pairs = enumerate(spread)
    return [t for s, noise in pairs for t in (trial("a", s, 100.0), trial("b", s, 100 + effect + noise))]


def test_a_decided_claim_gets_no_seed_and_is_said_once(tmp_path: Path) -> None:
    now, said, saved = decisions(requested(tmp_path, "ab", "max_seeds=4"))
    assert now.more(three(-20.0)) == []
    assert now.more(three(-20.0)) == []
    assert len(said) == len(saved) == 1
    assert said[0].startswith("a → b (2D data: MPII) is decided with 3 seeds: better, -19.97, p (Holm) 0.00")
    assert (saved[0].runs, saved[0].fixed_runs, saved[0].saved_runs) == (6, 8, 2)
    assert saved[0].summary == "claims: 1 decided, 0 open; 2 of 8 runs saved"


def test_an_open_claim_gets_one_seed_in_both_cells(tmp_path: Path) -> None:
    now, said, saved = decisions(requested(tmp_path, "ab"))
    trials = three(-20.0, (0.0, 15.0, -9.0))
    assert cells_of(now.more(trials)) == [("a", 3), ("b", 3)]
    assert now.more([*trials, trial("a", 3, 100.0), trial("b", 3, None, ended=False)]) == [], "the round has not ended"
    assert said == []
    assert saved[0].claims[0].text.startswith("open: about ")
    assert saved[0].saved_runs == 0


def test_a_failed_seed_is_replaced_by_a_later_one(tmp_path: Path) -> None:
    now, _, _ = decisions(requested(tmp_path, "ab"))
    trials = [*three(-20.0, (0.0, 15.0, -9.0)), trial("a", 3, None), trial("b", 3, 80.0)]
    assert cells_of(now.more(trials)) == [("a", 4), ("b", 4)]


def test_only_the_cells_of_open_claims_go_on(tmp_path: Path) -> None:
    """b → c stays open; a → b is decided, and the other cells have no claim that is open."""
    now, _, _ = decisions(requested(tmp_path, "abc"))
    noisy = [trial("c", s, 80.0 + noise) for s, noise in enumerate((-9.0, 7.0, -6.0))]
    trials = [*three(-20.0), *noisy]
    assert cells_of(now.more(trials)) == [("b", 3), ("c", 3)]


def test_at_max_seeds_it_ends(tmp_path: Path) -> None:
    now, said, _ = decisions(requested(tmp_path, "ab", "max_seeds=3"))
    assert now.more(three(-20.0, (0.0, 15.0, -9.0))) == []
    assert said == ["a → b (2D data: MPII) ends undecided with 3 seeds: no seed remains"]


def test_points_that_are_the_same_run_end_after_three_seeds(tmp_path: Path) -> None:
    now, said, _ = decisions(requested(tmp_path, "ab"))
    assert now.more(three(0.0, (0.0, 0.0, 0.0))) == []
    assert said[0].endswith("too small a chance of a decision with the seeds that remain")


def test_first_seed_moves_every_seed(tmp_path: Path) -> None:
    now, _, _ = decisions(requested(tmp_path, "ab", "first_seed=100"))
    trials = [TrialResult(t.values, t.seed + 100, t.run, t.figure, t.ended) for t in three(-20.0, (0.0, 15.0, -9.0))]
    assert cells_of(now.more(trials)) == [("a", 103), ("b", 103)]


def test_no_seed_starts_that_does_not_fit_the_hours(tmp_path: Path) -> None:
    clock = iter([0.0, *[3600.0] * 20, *[3 * 3600.0] * 20])
    of = requested(tmp_path, "ab", "hours=4", "max_seeds=9")
    for name in ("a0", "b0"):
        folder = ledger.create(of.runs.absolute(), name, {}, {"at": "then"})
        ledger.write_result(folder, {"status": "done", "bill": {"wall_s": 3600.0}})
    now, said, _ = decisions(of, clock=lambda: next(clock), concurrent=lambda: 2)
    trials = [t for t in three(-20.0, (0.0, 9.0, -6.0)) if t.seed] + [
        trial("a", 0, 100.0, run="a0"), trial("b", 0, 80.0, run="b0"),
    ]  # fmt: skip
    (one,) = now.state(trials)
    assert one.state == "open"
    late = Decisions(of, AutoSeeds(9, hours=0.5), say=said.append)
    assert late.more(trials) == []
    assert said == ["a → b (2D data: MPII) ends undecided with 3 seeds: no further seed fits the hours"]


def test_the_record_is_read_as_it_was_written_and_an_odd_one_is_none(tmp_path: Path) -> None:
    now, _, saved = decisions(requested(tmp_path))
    now.more([])
    claims_record.write(tmp_path, saved[0])
    assert claims_record.read(tmp_path) == saved[0]
    path = tmp_path / claims_record.NAME
    whole = json.loads(path.read_text())
    for odd in (
        {**whole, "schema": 2},
        {**whole, "claims": [{}]},
        {**whole, "runs": "3"},
        {**whole, "alpha": None},
        [],
    ):
        path.write_text(json.dumps(odd))
        assert claims_record.read(tmp_path) is None
    path.unlink()
    assert claims_record.read(tmp_path) is None


def test_points_without_cells_are_compared_with_the_first(tmp_path: Path) -> None:
    of = sweep.read([f"sweep={CONFIGS / 'sweep' / 'delta_init.yaml'}", "preset=smoke", "seeds=auto"])
    steps = [one.step for one in Decisions(of, AutoSeeds()).claims]
    assert steps[0] == "delta_init 0 → delta_init 0.01"
    assert len(steps) == 4


def test_a_search_for_higher_figures_turns_the_verdict(tmp_path: Path) -> None:
    now, _, saved = decisions(requested(tmp_path, "ab", "max_seeds=4", "search.objectives=[pckh]"))
    now.more(three(-20.0))
    assert [one.state for one in saved[0].claims] == ["worse"]


@pytest.mark.parametrize("cells", ["abc", CELLS])
def test_everything_is_wanted_from_the_first_three_seeds_on(tmp_path: Path, cells: str) -> None:
    """The study enqueues three seeds of every point by itself; the claims ask for no fourth before these have ended."""
    now, _, _ = decisions(requested(tmp_path, cells))
    waiting = [trial(cell, seed, None, ended=False) for seed in range(3) for cell in cells]
    assert now.more(waiting) == []
