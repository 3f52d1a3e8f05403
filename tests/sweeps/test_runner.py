"""What the runner makes of a study and a host, without Ray: known, busy, pruned and dead trials."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.search import Searcher

from sweeps import definition, runner
from sweeps.runner import Begun, _Trials
from sweeps.study import Study, TrialSpec


class Host:
    """Runs are named by their value of a; `busy` and `known` are another process's and the ledger's."""

    stopping = False

    def __init__(self) -> None:
        self.busy: set[float] = set()
        self.known: dict[float, dict] = {}
        self.told: list[tuple] = []

    def begin(self, asked: TrialSpec) -> Begun:
        a = asked.values["a"]
        if a in self.known:
            return Begun(f"run{a}", outcome=self.known[a])
        return Begun(f"run{a}") if a in self.busy else Begun(f"run{a}", {"a": a})

    def end(self, run: str, outcome: Mapping[str, Any]) -> dict[str, float | None]:
        self.told.append((run, outcome))
        return outcome.get("figures", {})

    def give_up(self, run: str) -> None:
        self.told.append((run, "asked to end"))

    def pruned(self, run: str) -> None:
        self.told.append((run, "pruned"))


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path, "s", definition.read({"axes": {"a": [1.0, 2.0, 3.0]}}), 1)


def states(study: Study) -> list[str]:
    return [t.state.name for t in study.study.get_trials()]


def test_what_is_known_is_told_and_not_trained(study: Study, host: Host) -> None:
    host.known = {1.0: {"figures": {"mpjpe_mm": 9.0}}, 2.0: {"failure": "bad data"}}
    trials = _Trials(study, host)
    assert trials.next("t") == {"a": 3.0}
    assert states(study) == ["COMPLETE", "FAIL", "RUNNING"] and study.study.trials[0].value == 9.0
    assert trials.next("u") == Searcher.FINISHED and host.told == []


def test_what_another_process_trains_is_asked_for_again_later(
    study: Study, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = []
    monkeypatch.setattr(runner.time, "sleep", slept.append)
    host.busy = {1.0, 3.0}  # and 1.0 is asked for first
    trials = _Trials(study, host)
    assert trials.next("t") == {"a": 2.0}
    assert trials.next("u") is None and slept == []
    trials.report("t", {"outcome": json.dumps({"figures": {"mpjpe_mm": 1.0}}), "epoch": 1})
    trials.close("t", None)
    assert trials.next("u") is None and slept, "alone with busy runs, it waits a moment"
    host.busy.clear()
    host.known = {1.0: {"figures": {"mpjpe_mm": 2.0}}}
    assert trials.next("u") == {"a": 3.0}
    assert states(study) == ["COMPLETE", "COMPLETE", "RUNNING"]


def test_no_busy_trial_is_lost_when_several_come_free(study: Study, host: Host) -> None:
    host.busy = {1.0, 2.0, 3.0}
    trials = _Trials(study, host)
    assert trials.next("t") is None
    host.busy.clear()
    assert [trials.next(name) for name in "tuv"] == [{"a": 1.0}, {"a": 2.0}, {"a": 3.0}]
    assert trials.next("w") == Searcher.FINISHED


def test_the_end_of_a_process_is_read_rightly(study: Study, host: Host) -> None:
    trials = _Trials(study, host)
    names = ("done", "pruned", "dead")
    for name in names:
        trials.next(name)
    assert not trials.report("done", {"epoch": 1, "score": 5.0})
    trials.given_up.add("pruned")
    trials.report("done", {"outcome": json.dumps({"figures": {"mpjpe_mm": 4.0}}), "epoch": 2})
    for name, error in zip(names, (None, None, "the process died"), strict=True):
        trials.close(name, error)
    assert states(study) == ["COMPLETE", "PRUNED", "FAIL"]
    assert host.told == [
        ("run1.0", {"figures": {"mpjpe_mm": 4.0}}), ("run2.0", "pruned"), ("run3.0", {"failure": "the process died"}),
    ]  # fmt: skip
    assert trials.running == {}


class Hopeless:
    """A pruner that gives up on everything."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return True


def hopeless(study: Study) -> Study:
    study.search = dataclasses.replace(study.search, pruner="median")
    study.study.pruner = Hopeless()
    return study


def test_a_process_that_is_kept_for_the_next_trial_is_ended_by_tune(study: Study, host: Host) -> None:
    trials = _Trials(hopeless(study), host)
    trials.next("t")
    assert trials.report("t", {"epoch": 1, "score": 5.0}) and host.told == []
    trials.close("t", None)
    assert host.told == [("run1.0", "pruned")] and states(study)[0] == "PRUNED"


OUTCOMES = [{"stopped": "epoch-1"}, {"figures": {"mpjpe_mm": 4.0}}, {"failure": "no memory"}]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_trial_that_was_asked_to_end_is_pruned_whatever_it_comes_to(
    study: Study, host: Host, outcome: dict[str, object]
) -> None:
    trials = _Trials(hopeless(study), host, asked_to_end=True)
    trials.next("t")
    assert not trials.report("t", {"epoch": 1, "score": 5.0}), "Tune would kill it"
    assert host.told == [("run1.0", "asked to end")]
    trials.report("t", {"outcome": json.dumps(outcome), "epoch": 2})
    trials.close("t", None)
    assert host.told[1:] == [("run1.0", "pruned")] and states(study)[0] == "PRUNED"


def test_what_a_trial_reports_while_it_ends_is_nobodys_measure(study: Study, host: Host) -> None:
    trials = _Trials(hopeless(study), host, asked_to_end=True)
    trials.next("t")
    for epoch in (1, 2, 3):
        trials.report("t", {"epoch": epoch, "score": 5.0 - epoch})
    assert host.told == [("run1.0", "asked to end")]
    assert study.study.trials[0].intermediate_values == {1: 4.0}


def test_a_trial_that_tune_forgets_is_a_failed_one(study: Study, host: Host) -> None:
    trials = _Trials(study, host)
    trials.next("t"), trials.next("u")
    trials.report("t", {"outcome": json.dumps({"figures": {"mpjpe_mm": 4.0}}), "epoch": 2})
    trials.close_all("Ray Tune has lost this trial")
    assert states(study) == ["COMPLETE", "FAIL", "WAITING"] and trials.running == {}
    assert host.told[-1] == ("run2.0", {"failure": "Ray Tune has lost this trial"})


class Told:
    """What Tune keeps of a process, or of what it was asked to do: where it says of what it died."""

    def __init__(self, tracked: Told | None = None) -> None:
        self._tracked_actor, self.actor_id, self.errors = tracked, 1, []
        self._on_error = lambda _, error: self.errors.append(error)


def test_a_process_that_ray_kills_for_memory_has_died_and_does_not_end_the_sweep() -> None:
    error = OutOfMemoryError("killed: Memory on the node (IP: 1) was 22.48GB used / 23.54GB limit (0.95)\nlong\nhints")
    actors, process = runner._Actors(resource_manager=None), Told()
    actors._cleanup_actor = lambda tracked_actor: None
    actors._actor_task_failed(Told(process), error)
    assert [type(e) for e in process.errors] == [RayActorError]
    assert str(process.errors[0]) == "Ray killed its process, as memory ran low (22.48GB used / 23.54GB)"


def test_a_trial_that_was_asked_to_end_and_died_is_pruned(study: Study, host: Host) -> None:
    trials = _Trials(hopeless(study), host, asked_to_end=True)
    trials.next("t")
    trials.report("t", {"epoch": 1, "score": 5.0})
    trials.close("t", "the process died")
    assert host.told[1:] == [("run1.0", "pruned")] and states(study)[0] == "PRUNED"
