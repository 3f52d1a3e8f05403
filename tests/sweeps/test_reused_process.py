"""A process that Ray Tune keeps for the next trial, and that lets go of a pruned one slowly: with a real Ray."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optuna
import pytest

from cluster.raycluster.connect import ray_cluster
from sweeps import definition, runner
from sweeps.outcomes import Done, Figures, Outcome, to_json
from sweeps.runner import ToTrain
from sweeps.study import Study, TrialSpec


class Host:
    stopping = False

    def begin(self, trial: TrialSpec) -> ToTrain:
        return ToTrain(f"run{trial.number}", {"a": trial.values["a"]})

    def end(self, run: str, outcome: Outcome[Figures]) -> Outcome[Figures]:
        return outcome

    def pruned(self, run: str) -> None:
        """Nothing is kept of it."""


class First:
    """A pruner that gives the first trial up."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return trial.number == 0


@pytest.mark.timeout(120)
def test_the_next_trial_waits_for_the_process_of_a_pruned_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune by itself waits two seconds, then drops the next trial, and the sweep never ends."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def slowly(payload: dict[str, float]) -> None:
        import time

        import ray.tune

        try:
            for epoch in range(1, 50 if payload["a"] == 1.0 else 2):
                ray.tune.report({"epoch": epoch, "score": 5.0})
        finally:
            time.sleep(3)  # a loader, an engine or a log on a slow file system closes
        ray.tune.report({"outcome": to_json(Done({"mpjpe_mm": payload["a"]})), "epoch": 50})

    study = Study(tmp_path, "s", definition.read({"axes": {"a": [1.0, 2.0, 3.0]}}), 1)
    study.search = dataclasses.replace(study.search, pruner="median")
    study.study.pruner = First()
    with ray_cluster(1):
        runner.run(study, Host(), slowly, {"CPU": 1}, concurrent=1, reuse=True, max_failures=0)
    assert [trial.state.name for trial in study.study.trials] == ["PRUNED", "COMPLETE", "COMPLETE"]
