"""The study of a sweep: which trials it gives, what it remembers, and what a killed driver leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sweeps import definition
from sweeps.study import Study, TrialResult, TrialSpec
from tests.sweeps.studies import GRID, ask_all, study


def key(trial: TrialSpec) -> tuple[tuple[tuple[str, Any], ...], int]:
    return tuple(trial.values.items()), trial.seed


def states(found: Study) -> list[str]:
    return [t.state.name for t in found.study.get_trials()]


def test_a_grid_is_asked_once_seed_by_seed(tmp_path: Path) -> None:
    trials = ask_all(study(tmp_path, seeds=2))
    assert len(trials) == 12 and len({key(a) for a in trials}) == 12
    assert [a.seed for a in trials] == [0] * 6 + [1] * 6


def test_what_a_dead_driver_left_running_is_asked_again_and_nothing_twice(tmp_path: Path) -> None:
    first = study(tmp_path)
    done, open_ = first.next(), first.next()
    first.tell(done.number, "run0", {"mpjpe_mm": 3.0})
    second = study(tmp_path)
    trials = ask_all(second)
    assert key(trials[0]) == key(open_) and trials[0].number == open_.number
    assert len(trials) == 5 and key(done) not in {key(a) for a in trials}
    for one in trials:
        second.tell(one.number, "r", {"mpjpe_mm": 1.0})
    assert states(study(tmp_path)) == ["COMPLETE"] * 6 and ask_all(study(tmp_path)) == []


def test_seeds_may_grow_in_a_grid_and_in_a_search(tmp_path: Path) -> None:
    for folder, search in ((tmp_path / "grid", {}), (tmp_path / "tpe", {"sampler": "tpe", "trials": 4})):
        folder.mkdir()
        one = study(folder, **search)
        for trial in ask_all(one):
            one.tell(trial.number, "r", {"mpjpe_mm": 1.0})
        points = {key(a)[0] for a in ask_all(study(folder, seeds=3, **search)) if a.seed}
        assert points == {tuple(t.params.items()) for t in one.study.get_trials()}


def test_a_search_asks_first_points_then_draws_and_repeats_each_point_for_every_seed(tmp_path: Path) -> None:
    raw = {"axes": {"a": {"low": 0, "high": 1}, "n": {"low": 1, "high": 9, "whole": True}}}
    raw["search"] = {"sampler": "tpe", "trials": 4, "first": [{"a": 0.25, "n": 3}]}
    found = study(tmp_path, seeds=2, raw=raw)
    specs = ask_all(found)
    assert specs[0].values == {"a": 0.25, "n": 3} and len(specs) == 8
    seeds = {}
    for one in specs:
        seeds.setdefault(tuple(one.values.values()), []).append(one.seed)
    assert all(sorted(s) == [0, 1] for s in seeds.values()) and len(seeds) == 4
    assert all(isinstance(a.values["n"], int) for a in specs)


def test_a_continued_search_does_not_draw_its_first_numbers_again(tmp_path: Path) -> None:
    raw = {"axes": {"a": {"low": 0, "high": 1}}, "search": {"sampler": "random", "trials": 3}}
    first = study(tmp_path, raw=raw)
    drawn = ask_all(first)
    for one in drawn:
        first.tell(one.number, "r", {"mpjpe_mm": 1.0})
    more = ask_all(study(tmp_path, raw=raw, trials=6))
    assert len(more) == 3 and not {a.values["a"] for a in more} & {a.values["a"] for a in drawn}


def searched(folder: Path, sampler: str, often: int) -> list[dict[str, Any]]:
    """The points that a search draws one after the other, its driver killed after every so many trials: with one drawn,
    and with one half drawn."""
    raw = {"axes": {"a": {"low": 0, "high": 1}, "b": ["x", "y"], "n": {"low": 1, "high": 9, "whole": True}}}
    objectives = ["mpjpe_mm", "macs"] if sampler == "nsga2" else ["mpjpe_mm"]
    search = {"sampler": sampler, "trials": 12, "objectives": objectives, "first": [{"a": 0.5, "b": "y", "n": 3}]}
    folder.mkdir()
    found, drawn = study(folder, raw=raw, **search), []
    while (spec := found.next()) is not None:
        if often and len(drawn) % often == 1:
            found = study(folder, raw=raw, **search)
            assert found.next() == spec
        drawn.append(spec.values)
        cost = abs(spec.values["a"] - 0.3) + (spec.values["b"] == "y") + spec.values["n"]
        found.tell(spec.number, "r", {"mpjpe_mm": cost, "macs": 3 - cost})
        if often and len(drawn) % often == 0 and len(drawn) < 12:
            found.study.ask({"a": found.distributions["a"]})
            found = study(folder, raw=raw, **search)
    return drawn


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "nsga2"])
def test_a_search_draws_the_same_however_often_its_driver_is_killed(tmp_path: Path, sampler: str) -> None:
    whole = searched(tmp_path / "whole", sampler, 0)
    assert len(whole) == 12 and len({str(values) for values in whole}) > 8  # a crossover may repeat a point
    assert searched(tmp_path / "killed", sampler, 4) == whole


def test_another_seed_draws_other_points(tmp_path: Path) -> None:
    raw = {"axes": {"a": {"low": 0, "high": 1}}, "search": {"sampler": "random", "trials": 6}}
    drawn = set()
    for seed in (-1, 0, 1):
        (tmp_path / str(seed)).mkdir()
        drawn |= {one.values["a"] for one in ask_all(study(tmp_path / str(seed), raw=raw, seed=seed))}
    assert len(drawn) == 18


def test_the_end_of_a_trial_is_recorded_as_what_it_was(tmp_path: Path) -> None:
    found = study(tmp_path)
    a, b, c, d, *_ = ask_all(found)
    found.tell(a.number, "ra", {"mpjpe_mm": 3.0})
    found.fail(b.number, "rb", "the loss is nan")
    found.prune(c.number, "rc")
    found.tell(d.number, "rd", {"mpjpe_mm": float("nan")})
    trials = found.study.get_trials()
    assert [t.state.name for t in trials[:4]] == ["COMPLETE", "FAIL", "PRUNED", "FAIL"]
    assert trials[1].user_attrs["reason"] == "the loss is nan" and trials[0].user_attrs["run"] == "ra"
    assert "mpjpe_mm" in trials[3].user_attrs["reason"]


def test_failed_trials_are_tried_again_only_when_asked_and_once(tmp_path: Path) -> None:
    first = study(tmp_path)
    for trial in ask_all(first):
        first.fail(trial.number, "r", "bad") if trial.number == 2 else first.tell(trial.number, "r", {"mpjpe_mm": 1.0})
    again = study(tmp_path)
    assert again.next() is None
    assert again.retry_failed() == 1
    trial = again.next()
    assert trial.values == first.study.trials[2].params and trial.repeats == 2 and again.next() is None
    again.tell(trial.number, "r", {"mpjpe_mm": 1.0})
    assert again.retry_failed() == 0


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_a_bad_trial_is_pruned_and_good_ones_are_not(tmp_path: Path, pruner: str) -> None:
    raw = {"axes": {"a": {"low": 0, "high": 1}}, "search": {"sampler": "random", "trials": 12, "pruner": pruner}}
    found = study(tmp_path, raw=raw, grace=1, reduction=2)
    for value in range(8):
        trial = found.next()
        pruned = [found.report(trial.number, epoch, 100.0 + value) for epoch in (1, 2, 3, 4)]
        if value == 0:
            assert not any(pruned)
        found.prune(trial.number, "r") if any(pruned) else found.tell(trial.number, "r", {"mpjpe_mm": 100.0 + value})
    bad = found.next()
    assert any(found.report(bad.number, epoch, 1e4) for epoch in (1, 2, 3, 4))


def test_what_a_driver_gave_up_before_it_died_is_given_up_by_the_next(tmp_path: Path) -> None:
    """ASHA decides once at a rung: in a study that was read again, it would let the trial continue."""
    raw = {"axes": {"a": {"low": 0, "high": 1}}, "search": {"sampler": "random", "trials": 4, "pruner": "asha"}}
    first = study(tmp_path, raw=raw, grace=1, reduction=2)
    good, bad = first.next(), first.next()
    assert not first.report(good.number, 1, 1.0) and first.report(bad.number, 1, 9.0)
    again = study(tmp_path, raw=raw, grace=1, reduction=2)
    assert not again.report(good.number, 1, 1.0) and again.report(bad.number, 1, 9.0)


def test_first_points_are_kept_as_the_study_keeps_them(tmp_path: Path) -> None:
    raw = {"axes": {"a": {"low": 0, "high": 1}, "n": {"low": 1, "high": 9, "whole": True}}}
    raw["search"] = {"sampler": "random", "trials": 1, "first": [{"a": 0, "n": 3.0}]}
    for _ in range(3):
        found = study(tmp_path, raw=raw)
        for trial in ask_all(found):
            found.tell(trial.number, "r", {"mpjpe_mm": 1.0})
    assert len(found.study.get_trials()) == 1
    raw["search"]["first"] = [{"a": 2, "n": 3}]
    with pytest.raises(definition.BadSweep, match="a=2"):
        study(tmp_path, raw=raw)


def test_a_half_drawn_trial_is_not_taken_for_a_point(tmp_path: Path) -> None:
    first = study(tmp_path)
    half = first.study.ask()
    half.suggest_categorical("a", [0.0, 0.5, 1.0])
    again = study(tmp_path)
    assert len(ask_all(again)) == 6 and again.retry_failed() == 0


def test_trials_whose_run_is_gone_are_repeated_once(tmp_path: Path) -> None:
    first = study(tmp_path, sampler="random", trials=3)
    for number, trial in enumerate(ask_all(first)):
        first.tell(trial.number, f"run{number}", {"mpjpe_mm": 1.0})
    again = study(tmp_path, sampler="random", trials=3)
    assert again.repeat_missing(lambda run: run != "run1") == 1
    (trial,) = ask_all(again)
    assert trial.values == first.study.trials[1].params
    again.tell(trial.number, "run1", {"mpjpe_mm": 1.0})
    assert again.repeat_missing(lambda _run: True) == 0 and ask_all(again) == []


def test_a_repeated_trial_whose_driver_dies_while_it_is_drawn_is_repeated_again(tmp_path: Path) -> None:
    first = study(tmp_path)
    for trial in ask_all(first):
        first.tell(trial.number, f"run{trial.number}", {"mpjpe_mm": 1.0})
    again = study(tmp_path)
    assert again.repeat_missing(lambda run: run != "run1") == 1
    again.study.ask({"a": again.distributions["a"]})  # the driver dies before it has b
    third = study(tmp_path)
    assert third.repeat_missing(lambda run: run != "run1") == 1
    (trial,) = ask_all(third)
    assert trial.values == first.study.trials[1].params
    third.tell(trial.number, "again", {"mpjpe_mm": 1.0})
    assert study(tmp_path).repeat_missing(lambda run: run != "run1") == 0


def test_two_objectives_have_their_directions(tmp_path: Path) -> None:
    found = study(tmp_path, sampler="nsga2", trials=5, objectives=["mpjpe_mm", "ap"])
    assert [d.name for d in found.study.directions] == ["MINIMIZE", "MAXIMIZE"]
    trial = found.next()
    assert not found.report(trial.number, 1, 3.0)
    found.tell(trial.number, "r", {"mpjpe_mm": 50.0, "ap": 0.5})
    assert found.study.best_trials[0].values == [50.0, 0.5]


@pytest.mark.parametrize(
    ("sampler", "objectives"), [("tpe", ["mpjpe_mm"]), ("gp", ["mpjpe_mm"]), ("nsga2", ["mpjpe_mm", "macs"])]
)
def test_a_search_draws_better_points_as_it_learns_also_when_it_is_continued(
    tmp_path: Path, sampler: str, objectives: list[str]
) -> None:
    raw = {"axes": {"a": {"low": 0, "high": 1}, "b": ["x", "y"]}}
    costs = []
    for trials in (24, 48):
        found = study(tmp_path, raw=raw, sampler=sampler, objectives=objectives, trials=trials)
        while (trial := found.next()) is not None:
            cost = 100 * abs(trial.values["a"] - 0.3) + 50 * (trial.values["b"] == "y")
            costs.append(cost)
            found.tell(trial.number, "r", {"mpjpe_mm": cost, "macs": 2 * cost})
    assert len(costs) == 48 and sum(costs[24:]) / 24 < 0.95 * sum(costs[:12]) / 12


def keys(points: list[tuple[dict[str, Any], int]]) -> list[tuple[tuple[tuple[str, Any], ...], int]]:
    return [(tuple(values.items()), seed) for values, seed in points]


def test_a_copy_says_what_is_held_and_ahead_and_changes_nothing(tmp_path: Path) -> None:
    search = {"sampler": "tpe", "trials": 5, "first": [{"a": 0.0, "b": "x"}]}
    fresh = Study(tmp_path, "s", definition.read(GRID, search), 2, copy=True)
    assert fresh.counts() == {} and list(tmp_path.iterdir()) == []
    assert fresh.ahead() == ([({"a": 0.0, "b": "x"}, 0), ({"a": 0.0, "b": "x"}, 1)], 8)

    stored = study(tmp_path, seeds=2, **search)
    specs = [
        stored.next() for _ in range(4)
    ]  # both seeds of the first point, of a drawn one the first seed, and another
    stored.tell(specs[0].number, "run0", {"mpjpe_mm": 3.0})
    stored.prune(specs[1].number, "run1")
    stored.fail(specs[2].number, "run2", "lost")
    before = (tmp_path / "study.log").read_bytes()
    copy = Study(tmp_path, "s", definition.read(GRID, search), 2, copy=True)
    assert copy.counts() == {"done": 1, "pruned": 1, "failed": 1, "running": 1}
    waiting, drawn = copy.ahead()
    assert keys(waiting)[0] == key(specs[3]), "what is running is handed out again, after the driver's death"
    assert len(waiting) + drawn == 10 - 3
    again = Study(tmp_path, "s", definition.read(GRID, search), 2, copy=True)
    assert again.retry_failed() == 1 and again.repeat_missing(lambda run: False) == 1
    assert key(specs[2]) in keys(again.ahead()[0]) and key(specs[0]) in keys(again.ahead()[0])
    assert (tmp_path / "study.log").read_bytes() == before and list(tmp_path.iterdir()) == [tmp_path / "study.log"]


@pytest.mark.parametrize("left_over", [False, True])
def test_what_is_ahead_is_what_is_asked(tmp_path: Path, left_over: bool) -> None:
    search = {"sampler": "random", "trials": 6, "first": [{"a": 0.5, "b": "y"}]}
    first = study(tmp_path, seeds=2, **search)
    for _ in range(5):
        first.tell(first.next().number, "run", {"mpjpe_mm": 1.0})
    if left_over:
        first.next()
    waiting, drawn = Study(tmp_path, "s", definition.read(GRID, search), 2, copy=True).ahead()
    specs = ask_all(study(tmp_path, seeds=2, **search))
    assert len(specs) == len(waiting) + drawn == 7 and [key(a) for a in specs[: len(waiting)]] == keys(waiting)


def test_a_grid_that_grows_asks_for_more_after_its_results_and_nothing_twice(tmp_path: Path) -> None:
    def more(results: Sequence[TrialResult]) -> list[tuple[definition.Values, int]]:
        good = [r for r in results if r.figure is not None and r.figure < 2]
        return [(r.values, r.seed + 1) for r in good if r.seed < 2]

    def opened() -> Study:
        return Study(tmp_path, "s", definition.read(GRID), 1, more=more)

    first = opened()
    trials = ask_all(first)
    assert len(trials) == 6 and first.grows
    first.tell(trials[0].number, "r0", {"mpjpe_mm": 1.0})
    added = first.next()
    assert added is not None and (added.values, added.seed) == (trials[0].values, 1)
    assert first.next() is None
    second = opened()  # the driver has died: five of the first and the added one run again
    again = ask_all(second)
    assert {one.number for one in again} == {1, 2, 3, 4, 5, added.number}
    second.tell(added.number, "r1", {"mpjpe_mm": 1.0})
    third = second.next()
    assert third is not None and third.seed == 2
    ended = {result.run: result.figure for result in second.results() if result.ended}
    assert ended == {"r0": 1.0, "r1": 1.0}
