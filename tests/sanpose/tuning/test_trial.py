"""What a trial's process does, without Ray."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray.tune

from sanpose.config.compose import compose
from sanpose.runs import ledger
from sanpose.tuning import trial


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_done_is_not_trained_again(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = compose(["preset=smoke", f"train.workers={workers}"]).plain()
    folder = ledger.create(tmp_path, "run", chosen, {})
    trained: list[Path] = []
    reported: list[object] = []
    for way in ("_here", "_through_ray_train"):
        monkeypatch.setattr(trial, way, lambda _config, where, _cuda: trained.append(where) or {"figures": {}})
    monkeypatch.setattr(ray.tune, "report", reported.append)
    for status, times in (("running", 1), ("done", 1), ("interrupted", 2)):
        ledger.write_result(folder, {"status": status})
        trial.trial({"config": chosen, "folder": str(folder), "cuda": False})
        assert len(trained) == len(reported) == times
