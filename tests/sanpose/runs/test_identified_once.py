"""A run is identified once: its driver opens each data file once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import h5py
import pytest
import yaml
from rich.console import Console

from sanpose.config.compose import compose
from sanpose.runs.result import TrainingResult
from sanpose.training import ray_train, resources
from sanpose.training import run as training
from sanpose.tuning import sweep
from sanpose.tuning.driver import Driver
from sweeps import record
from sweeps.outcomes import Done
from sweeps.runner import ToTrain
from sweeps.study import TrialSpec
from tests.sanpose import tiny
from tests.sanpose.recorded import figures

SOURCES = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny.overrides(tmp_path_factory.mktemp("data"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The HDF5 files that this process opens."""
    names: list[str] = []
    whole = h5py.File.__init__

    def init(self: h5py.File, name: str, *arguments: object, **options: object) -> None:
        if isinstance(name, str | Path):  # h5py makes objects of files that are open already too
            names.append(Path(name).name)
        whole(self, name, *arguments, **options)

    monkeypatch.setattr(h5py.File, "__init__", init)
    return names


def test_a_training_of_three_sources(
    data: list[str], tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = TrainingResult({"h36m": figures(60.0)["h36m"]}, "cpu", 1, 1, 1)
    monkeypatch.setattr(training, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(resources, "device_type", lambda _: "cpu")
    monkeypatch.setattr(ray_train, "fit", lambda *_: Done(result))
    chosen = compose([*data, f"runs={tmp_path / 'runs'}"])
    opened.clear()
    assert training.train(chosen, Console(quiet=True)).status == "done"
    assert sorted(opened) == ["coco.h5", "h36m.h5", "mpii.h5"]


def test_a_trial_of_three_sources(data: list[str], tmp_path: Path, opened: list[str]) -> None:
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({"title": "one", "axes": {"train.gamma": [0.5]}}))
    one = sweep.read([f"sweep={tmp_path / 'one.yaml'}", *data, "name=one", f"runs={tmp_path / 'runs'}"])
    record.write_head(one.runs, one.name, one.head())
    driver = Driver(one, record.folder_of(one.runs, one.name), Console(quiet=True), False, False, ("last",))
    opened.clear()
    start = driver.begin(TrialSpec(0, {"train.gamma": 0.5}, 0))
    assert isinstance(start, ToTrain) and len(opened) == SOURCES
    driver.interrupted()
