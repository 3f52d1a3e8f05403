"""What a dry run says of a sweep: from the records and the study, and without leaving a trace."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from sanpose.errors import UserError
from sanpose.runs import checkpoints, identity, ledger
from sanpose.status.planned import to_begin
from sanpose.tuning import plan, sweep
from sanpose.tuning.driver import Driver
from sanpose.tuning.sweep import Sweep
from sweeps import record
from sweeps.definition import Values
from sweeps.files import append_line
from sweeps.outcomes import Failed
from sweeps.runner import Recorded
from sweeps.study import Study, TrialSpec
from tests.sanpose import tiny

RATES = {"title": "rates", "axes": {"train.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}}
# Every value goes with another one, but 6 images do not fall into 4 parts, nor 8 into 3.
ATTENTION_AXES = {"model.attention": ["none", "position"], "model.delta_init": [0.1, 1.0]}  # none goes with no delta
ATTENTION = {"title": "attention", "axes": ATTENTION_AXES}
KINDS = {"title": "kinds", "axes": {"model.attention": ["position", "channel"]}}
BATCHES = {"title": "batches", "axes": {"train.batch_size": [6, 8], "train.accumulation": [3, 4]}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny.overrides(tmp_path_factory.mktemp("data"))


def read_sweep(folder: Path, content: object, data: list[str], *more: str) -> Sweep:
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return sweep.read([f"sweep={folder / 'mine.yaml'}", *data, f"runs={folder / 'runs'}", *more])


def shown(found: plan.SweepPlan) -> str:
    console = Console(width=250, file=io.StringIO())
    plan.show(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def recorded(planned: Sweep, values: Values, seed: int, status: str, **extra: object) -> str:
    """Leave the record of a trial's run; its id."""
    config = planned.config(values, seed)
    name = identity.run_id(config)
    ledger.create(planned.runs, name, config.plain(), {})
    ledger.write_result(planned.runs / name, {"status": status, "config": config.plain(), **extra})
    return name


def test_a_search_is_planned_from_its_study(tmp_path: Path, data: list[str]) -> None:
    search = ("search.sampler=tpe", "search.trials=8", "search.pruner=asha", "eval.every=1")
    rates = read_sweep(tmp_path, RATES, data, *search)
    before = plan.make(rates)
    assert (before.recorded, before.rows, before.drawn) == ({}, (), 8) and not rates.runs.exists()

    folder = record.folder_of(rates.runs, rates.name)
    folder.mkdir(parents=True)
    study = Study(folder, rates.name, rates.definition, 1)
    trials = [study.next() for _ in range(4)]
    done, pruned, failed, running = [trial for trial in trials if trial]
    study.tell(done.number, recorded(rates, done.values, 0, "done"), {"mpjpe_mm": 90.0})
    study.prune(pruned.number, recorded(rates, pruned.values, 0, "pruned"))
    study.fail(failed.number, recorded(rates, failed.values, 0, "failed", reason="lost"), "lost")
    open_run = recorded(rates, running.values, 0, "running")
    append_line(rates.runs / open_run / "metrics.jsonl", {"kind": "epoch", "epoch": 1, "step": 0})
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    found = plan.make(rates)
    assert found.recorded == {"done": 1, "pruned": 1, "failed": 1, "running": 1}
    assert [(row.run, row.action) for row in found.rows] == [(open_run, "resume at epoch 1")] and found.drawn == 4
    assert "the study has 4 trials (1 done, 1 pruned, 1 failed, 1 running)" in shown(found)
    assert "5 trials: 1 resume, 4 drawn later" in shown(found)
    retried = plan.make(rates, retry_failed=True)
    assert [row.action for row in retried.rows] == ["resume at epoch 1", "train"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files, "a plan leaves no trace"


def test_the_first_seed_is_the_first_of_every_point(tmp_path: Path, data: list[str]) -> None:
    some = read_sweep(tmp_path, KINDS, data, "seeds=2", "first_seed=100")
    assert some.name.endswith("-from-seed-100")
    assert {config.train.seed for config in some.checked.configs} == {100}
    planned = plan.make(some)
    assert sorted(row.seed for row in planned.rows) == [100, 100, 101, 101]
    values = some.definition.grid()[0]
    run = recorded(some, values, 101, "done")
    folder = record.folder_of(some.runs, some.name)
    folder.mkdir(parents=True)
    study = Study(folder, some.name, some.definition, 2, first_seed=100)
    assert sorted(spec.seed for spec in iter(study.next, None)) == [100, 100, 101, 101]
    record.write_head(some.runs, some.name, {**some.head(), "seeds": 2})
    head = record.read(some.runs, some.name).head
    states = to_begin(head, [record.TrialRecord(0, "", values, 101, run)])
    assert sorted(state.seed for state in states) == [100, 100, 101]


def test_nothing_is_left_of_a_search_that_has_ended(tmp_path: Path, data: list[str]) -> None:
    rates = read_sweep(tmp_path, RATES, data, "search.sampler=random", "search.trials=2")
    folder = record.folder_of(rates.runs, rates.name)
    folder.mkdir(parents=True)
    study = Study(folder, rates.name, rates.definition, 1)
    while (trial := study.next()) is not None:
        study.tell(trial.number, recorded(rates, trial.values, 0, "done"), {"mpjpe_mm": 90.0})
    found = plan.make(rates)
    assert (found.recorded, found.rows, found.drawn, found.hours) == ({"done": 2}, (), 0, 0)
    assert "nothing remains to run" in shown(found)


def test_a_point_that_cannot_be_composed_is_planned_as_such(tmp_path: Path, data: list[str]) -> None:
    first = [{"train.batch_size": 6, "train.accumulation": 4}, {"train.batch_size": 6, "train.accumulation": 3}]
    batches = read_sweep(tmp_path, {**BATCHES, "search": {"sampler": "random", "trials": 2, "first": first}}, data)
    found = plan.make(batches)
    assert [row.action for row in found.rows] == ["cannot be run", "train"]
    assert "cannot be split" in found.rows[0].why and found.rows[0].why in shown(found)


def test_a_record_that_cannot_be_read_is_one_row_of_the_plan(tmp_path: Path, data: list[str]) -> None:
    grid = read_sweep(tmp_path, {"title": "gamma", "axes": {"train.gamma": [0.1, 0.5]}}, data)
    torn = recorded(grid, {"train.gamma": 0.1}, 0, "interrupted")
    (grid.runs / torn / "result.json").write_text("{")
    found = plan.make(grid)
    assert [row.action for row in found.rows] == ["cannot be run", "train"]
    assert "cannot be read" in found.rows[0].why


@pytest.mark.parametrize(
    ("more", "actions", "said"),
    [
        ((), ["cannot be run", "cannot be run", "train", "train"], "2 of 4 checked points"),
        (("search.sampler=tpe", "search.trials=3"), [], "1 of 2 checked points"),  # of (none, 0.1) and (position, 1.0)
    ],
)
def test_a_sweep_with_impossible_points_is_read_and_says_so(
    tmp_path: Path, data: list[str], more: tuple[str, ...], actions: list[str], said: str
) -> None:
    found = read_sweep(tmp_path, ATTENTION, data, *more)
    assert found.warning and said in found.warning and "attention none, delta_init 0.1: model.att" in found.warning
    planned = plan.make(found)
    assert [row.action for row in planned.rows] == actions and planned.drawn == 3 * bool(more)
    assert found.warning in shown(planned) and planned.hours > 0
    assert read_sweep(tmp_path, RATES, data, "search.sampler=tpe").warning is None


def test_what_no_point_could_do_and_a_misspelt_key_in_one_option_are_refused(tmp_path: Path, data: list[str]) -> None:
    with pytest.raises(UserError, match="attention=none leaves"):
        read_sweep(tmp_path, {**ATTENTION, "axes": {**ATTENTION_AXES, "model.attention": ["none"]}}, data)
    options = {"small": ["model.widht=0.5"], "whole": []}
    with pytest.raises(UserError, match=r"did you mean 'model\.width'"):
        read_sweep(tmp_path, {"title": "widths", "axes": {"width": options}}, data)


def test_a_point_that_cannot_be_composed_is_recorded_with_its_reason(tmp_path: Path, data: list[str]) -> None:
    batches = read_sweep(tmp_path, BATCHES, data, "search.sampler=random")
    folder = record.folder_of(batches.runs, batches.name)
    folder.mkdir(parents=True)
    record.write_head(batches.runs, batches.name, batches.head())
    driver = Driver(batches, folder, Console(quiet=True), False, False, checkpoints.KINDS)
    bad = {"train.batch_size": 8, "train.accumulation": 3}
    start = driver.begin(TrialSpec(7, bad, 0, repeats=3))
    assert isinstance(start, Recorded) and isinstance(start.outcome, Failed)
    assert start.run == "" and "cannot be split" in start.outcome.reason
    (trial,) = record.read(batches.runs, batches.name).trials
    assert (trial.number, trial.values, trial.run, trial.repeats) == (7, bad, "", 3)
    assert "cannot be split" in (trial.reason or "")
    assert list(batches.runs.iterdir()) == [batches.runs / "sweeps"] and driver.counts == {"failed": 1}
