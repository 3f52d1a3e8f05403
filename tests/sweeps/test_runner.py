"""What the runner makes of a study and a host, without Ray: recorded, busy, pruned and dead trials."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optuna
import pytest
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.search import Searcher

from sweeps import definition, ray_tune_patch, runner
from sweeps.outcomes import Done, Failed, Figures, Outcome, Stopped, to_json
from sweeps.runner import InUse, Recorded, Start, ToTrain, Trials
from sweeps.study import Study, TrialSpec


class Host:
    """Runs are named by their value of a; `busy` and `recorded` are another process's and the ledger's."""

    stopping = False

    def __init__(self) -> None:
        self.busy: set[float] = set()
        self.recorded: dict[float, Done[Figures] | Failed] = {}
        self.calls: list[tuple[str, object]] = []

    def begin(self, trial: TrialSpec) -> Start:
        a = trial.values["a"]
        if a in self.recorded:
            return Recorded(f"run{a}", self.recorded[a])
        return InUse(f"run{a}") if a in self.busy else ToTrain(f"run{a}", {"a": a})

    def end(self, run: str, outcome: Outcome[Figures]) -> Outcome[Figures]:
        self.calls.append((run, outcome))
        return outcome

    def give_up(self, run: str) -> None:
        self.calls.append((run, "give up"))

    def pruned(self, run: str) -> None:
        self.calls.append((run, "pruned"))


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path, "s", definition.read({"axes": {"a": [1.0, 2.0, 3.0]}}), 1)


def states(study: Study) -> list[str]:
    return [t.state.name for t in study.study.get_trials()]


def test_a_recorded_outcome_goes_to_the_study_without_training(study: Study, host: Host) -> None:
    host.recorded = {1.0: Done({"mpjpe_mm": 9.0}), 2.0: Failed("bad data")}
    trials = Trials(study, host)
    assert trials.next("t") == {"a": 3.0}
    assert states(study) == ["COMPLETE", "FAIL", "RUNNING"] and study.study.trials[0].value == 9.0
    assert trials.next("u") == Searcher.FINISHED and host.calls == []


def test_what_another_process_trains_is_asked_for_again_later(
    study: Study, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = []
    monkeypatch.setattr(runner.time, "sleep", slept.append)
    host.busy = {1.0, 3.0}  # and 1.0 comes first
    trials = Trials(study, host)
    assert trials.next("t") == {"a": 2.0}
    assert trials.next("u") is None and slept == []
    trials.report("t", {"outcome": to_json(Done({"mpjpe_mm": 1.0})), "epoch": 1})
    trials.close("t", None)
    assert trials.next("u") is None and slept, "alone with busy runs, it waits a moment"
    host.busy.clear()
    host.recorded = {1.0: Done({"mpjpe_mm": 2.0})}
    assert trials.next("u") == {"a": 3.0}
    assert states(study) == ["COMPLETE", "COMPLETE", "RUNNING"]


def test_no_busy_trial_is_lost_when_several_come_free(study: Study, host: Host) -> None:
    host.busy = {1.0, 2.0, 3.0}
    trials = Trials(study, host)
    assert trials.next("t") is None
    host.busy.clear()
    assert [trials.next(name) for name in "tuv"] == [{"a": 1.0}, {"a": 2.0}, {"a": 3.0}]
    assert trials.next("w") == Searcher.FINISHED


def test_the_end_of_a_process_is_read_rightly(study: Study, host: Host) -> None:
    trials = Trials(study, host)
    names = ("done", "pruned", "dead")
    for name in names:
        trials.next(name)
    assert not trials.report("done", {"epoch": 1, "score": 5.0})
    hopeless(study)
    assert trials.report("pruned", {"epoch": 1, "score": 9.0})
    trials.report("done", {"outcome": to_json(Done({"mpjpe_mm": 4.0})), "epoch": 2})
    for name, error in zip(names, (None, None, "the process died"), strict=True):
        trials.close(name, error)
    assert states(study) == ["COMPLETE", "PRUNED", "FAIL"]
    assert host.calls == [
        ("run1.0", Done({"mpjpe_mm": 4.0})), ("run2.0", "pruned"), ("run3.0", Failed("the process died")),
    ]  # fmt: skip


class Hopeless:
    """A pruner that gives up on everything."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return True


def hopeless(study: Study) -> Study:
    study.search = dataclasses.replace(study.search, pruner="median")
    study.study.pruner = Hopeless()
    return study


def test_a_process_that_is_kept_for_the_next_trial_is_ended_by_tune(study: Study, host: Host) -> None:
    trials = Trials(hopeless(study), host)
    trials.next("t")
    assert trials.report("t", {"epoch": 1, "score": 5.0}) and host.calls == []
    trials.close("t", None)
    assert host.calls == [("run1.0", "pruned")] and states(study)[0] == "PRUNED"


OUTCOMES = [Stopped("epoch-1"), Done({"mpjpe_mm": 4.0}), Failed("no memory")]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_trial_that_was_asked_to_end_is_pruned(
    study: Study, host: Host, outcome: Done[Figures] | Failed | Stopped
) -> None:
    trials = Trials(hopeless(study), host, host_stops_pruned=True)
    trials.next("t")
    assert not trials.report("t", {"epoch": 1, "score": 5.0}), "Tune would kill it"
    assert host.calls == [("run1.0", "give up")]
    trials.report("t", {"outcome": to_json(outcome), "epoch": 2})
    trials.close("t", None)
    assert host.calls[1:] == [("run1.0", "pruned")] and states(study)[0] == "PRUNED"


def test_what_a_trial_reports_while_it_ends_is_nobodys_measure(study: Study, host: Host) -> None:
    trials = Trials(hopeless(study), host, host_stops_pruned=True)
    trials.next("t")
    for epoch in (1, 2, 3):
        trials.report("t", {"epoch": epoch, "score": 5.0 - epoch})
    assert host.calls == [("run1.0", "give up")]
    assert study.study.trials[0].intermediate_values == {1: 4.0}


def test_a_trial_that_tune_forgets_is_a_failed_one(study: Study, host: Host) -> None:
    trials = Trials(study, host)
    trials.next("t"), trials.next("u")
    trials.report("t", {"outcome": to_json(Done({"mpjpe_mm": 4.0})), "epoch": 2})
    trials.close_all("Ray Tune has lost this trial")
    assert states(study) == ["COMPLETE", "FAIL", "WAITING"]
    assert host.calls[-1] == ("run2.0", Failed("Ray Tune has lost this trial"))


class TrackedProcess:
    """What Tune stores about a process or its task, with the handler of its errors."""

    def __init__(self, tracked: TrackedProcess | None = None) -> None:
        self._tracked_actor, self.actor_id, self.errors = tracked, 1, []
        self._on_error = lambda _, error: self.errors.append(error)


def test_a_process_that_ray_kills_for_memory_has_died_and_does_not_end_the_sweep() -> None:
    error = OutOfMemoryError("killed: Memory on the node (IP: 1) was 22.48GB used / 23.54GB limit (0.95)\nlong\nhints")
    actors, process = ray_tune_patch.Actors(resource_manager=None), TrackedProcess()
    actors._cleanup_actor = lambda tracked_actor: None
    actors._actor_task_failed(TrackedProcess(process), error)
    assert [type(e) for e in process.errors] == [RayActorError]
    assert str(process.errors[0]) == "Ray killed its process because memory ran low (22.48GB used / 23.54GB)"


def test_a_trial_that_was_asked_to_end_and_died_is_pruned(study: Study, host: Host) -> None:
    trials = Trials(hopeless(study), host, host_stops_pruned=True)
    trials.next("t")
    trials.report("t", {"epoch": 1, "score": 5.0})
    trials.close("t", "the process died")
    assert host.calls[1:] == [("run1.0", "pruned")] and states(study)[0] == "PRUNED"
