"""What a trial's process does, without Ray."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray.tune

from sanpose.config.compose import compose
from sanpose.config.schema import Config
from sanpose.runs import ledger
from sanpose.runs.paths import RunPaths
from sanpose.runs.result import TrainingResult
from sanpose.tuning import trial
from sweeps.outcomes import Done


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_done_is_not_trained_again(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = compose(["preset=smoke", f"train.workers={workers}"]).plain()
    folder = ledger.create(tmp_path, "run", chosen, {})
    trained: list[Path] = []
    reported: list[object] = []

    def train(_config: Config, paths: RunPaths, *_cuda: bool) -> Done[TrainingResult]:
        trained.append(paths.folder)
        return Done(TrainingResult({}, "cpu", 1, 1, 1))

    for way in ("_train_here", "_train_in_workers"):
        monkeypatch.setattr(trial, way, train)
    monkeypatch.setattr(ray.tune, "report", reported.append)
    for status, times in (("running", 1), ("done", 1), ("interrupted", 2)):
        ledger.write_result(folder, {"status": status})
        trial.trial({"config": chosen, "folder": str(folder), "cuda": False})
        assert len(trained) == len(reported) == times
