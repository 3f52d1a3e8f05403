"""Whose checkpoints the driver of a sweep removes, and when: without Ray, and without training."""

from __future__ import annotations

import datetime
import fcntl
import itertools
import json
import threading
import time
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from sanpose.config.compose import REPOSITORY
from sanpose.runs import active, checkpoints, provenance
from sanpose.runs.active import ActiveRun
from sanpose.runs.result import TrainingResult
from sanpose.tuning import sweep
from sanpose.tuning.driver import Driver
from sanpose.tuning.sweep import Sweep
from sweeps import record
from sweeps.runner import Recorded, ToTrain
from sweeps.study import TrialSpec
from tests.sanpose import tiny
from tests.sanpose.recorded import figures

POINT = TrialSpec(0, {"train.gamma": 0.5}, 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny.overrides(tmp_path_factory.mktemp("data"))


@pytest.fixture
def requested(data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A sweep of one trial; no two runs begin in the same second."""
    seconds = itertools.count()
    first = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    monkeypatch.setattr(provenance, "now", lambda: (first + datetime.timedelta(seconds=next(seconds))).isoformat())
    return named("mine", data, tmp_path)


def named(name: str, data: list[str], folder: Path) -> Sweep:
    (folder / "one.yaml").write_text(yaml.safe_dump({"title": "one", "axes": {"train.gamma": [0.5]}}))
    more = ("search.sampler=random", "search.pruner=asha", "eval.every=1")
    found = sweep.read([f"sweep={folder / 'one.yaml'}", *data, *more, f"name={name}", f"runs={folder / 'runs'}"])
    record.write_head(found.runs, found.name, found.head())
    return found


def driver(of: Sweep, kept: tuple[str, ...] = ("last",)) -> Driver:
    """The driver of a start, which knows what earlier ones have left."""
    return Driver(of, record.folder_of(of.runs, of.name), Console(quiet=True), False, False, kept)


def begin(of: Driver) -> ActiveRun:
    start = of.begin(POINT)
    assert isinstance(start, ToTrain)
    save(of.open[start.run], 1)
    return of.open[start.run]


def save(run: ActiveRun, epoch: int) -> None:
    folder = run.paths.folder / "checkpoints" / f"epoch-{epoch:04d}-step-000000"
    folder.mkdir()
    manifest = {"position": {"epoch": epoch}, "world": 1, "zero_stage": 0, "score": float(epoch)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def left(run: ActiveRun) -> list[str]:
    return sorted(path.name[:10] for path in (run.paths.folder / "checkpoints").iterdir())


def finish(run: ActiveRun) -> None:
    """What the driver does of a run's end before it removes checkpoints."""
    save(run, 2)
    run.done(TrainingResult({"h36m": figures(60.0)["h36m"]}, "cpu", 1, 1, 1))


def test_the_next_start_trims_what_a_driver_that_died_has_not(requested: Sweep) -> None:
    run = begin(driver(requested))
    finish(run)
    assert left(run) == ["epoch-0001", "epoch-0002"]
    assert isinstance(driver(requested).begin(POINT), Recorded)
    assert left(run) == ["epoch-0002"]


def test_another_sweeps_run_is_taken_as_it_is(requested: Sweep, data: list[str], tmp_path: Path) -> None:
    run = begin(driver(requested))
    finish(run)
    other = named("other", data, tmp_path)
    for _ in range(2):
        assert isinstance(driver(other, ()).begin(POINT), Recorded)
    assert left(run) == ["epoch-0001", "epoch-0002"]


def test_a_run_that_a_person_has_finished_is_taken_as_it_is(requested: Sweep) -> None:
    first = driver(requested)
    run = begin(first)
    first.interrupted()
    by_hand = active.begin(run.identified, REPOSITORY)
    finish(by_hand)
    assert isinstance(driver(requested, ()).begin(POINT), Recorded)
    assert left(run) == ["epoch-0001", "epoch-0002"]


@pytest.mark.parametrize("same_start", [True, False])
def test_what_workers_save_after_their_trial_was_given_up_is_trimmed(requested: Sweep, same_start: bool) -> None:
    first = driver(requested)
    run = begin(first)
    first.pruned(run.paths.folder.name)
    assert left(run) == []

    def worker() -> None:
        time.sleep(0.3)
        save(run, 2)
        lock.close()

    save(run, 1)
    lock = (run.paths.folder / ".worker.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    thread = threading.Thread(target=worker)
    thread.start()
    (first if same_start else driver(requested)).trim_pruned()
    thread.join()
    assert left(run) == []


def test_a_pruned_run_that_somebody_else_trains_keeps_its_checkpoints(requested: Sweep) -> None:
    first = driver(requested)
    run = begin(first)
    first.pruned(run.paths.folder.name)
    by_hand = active.begin(run.identified, REPOSITORY)
    save(by_hand, 1)
    driver(requested).trim_pruned()
    assert left(run) == ["epoch-0001"]
    by_hand.pruned()
    driver(requested).trim_pruned()
    assert left(run) == ["epoch-0001"], "another driver's pruned run is that one's to trim"


def test_all_are_kept_where_all_were_asked_for(requested: Sweep) -> None:
    run = begin(driver(requested))
    finish(run)
    driver(requested, checkpoints.kinds("all")).begin(POINT)
    assert left(run) == ["epoch-0001", "epoch-0002"]
