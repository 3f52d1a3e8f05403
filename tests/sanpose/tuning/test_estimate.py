"""Hours and accelerator-hours of a training: measured, scaled and guessed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sanpose.config.compose import compose
from sanpose.config.schema import Config
from sanpose.errors import UserError
from sanpose.model.cost import recorded_cost
from sanpose.runs.ledger import RunRecord
from sanpose.tuning import estimate
from tests.sanpose import tiny

# Two epochs of 32 images, and 24 images in three sets: all of them twice, and of two sets after each epoch.
IMAGES, EVALUATED = 2 * 32, 2 * 24 + 2 * (8 + 8)
TRAINING, REST = 16.0, 80.0  # seconds of the recorded run: four images a second, and one evaluated


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny.overrides(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without GPUs, and no Ray elsewhere."""
    monkeypatch.setattr(estimate, "DEVICES", tmp_path)
    for name in ("RAY_ADDRESS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def record(
    chosen: Config, device: str = "cpu", accelerators: int = 1, changed: float = 0.0, **bill: object
) -> RunRecord:
    """A run of TRAINING + REST seconds that is done."""
    recorded = {"wall_s": TRAINING + REST, "images": IMAGES, "images_per_s": IMAGES / TRAINING, **bill}
    recorded |= {"device": device, "accelerators": accelerators}
    return RunRecord("abc", Path("abc"), "done", chosen.plain(), changed, extra={"bill": recorded})


def seconds(chosen: Config, *records: RunRecord) -> tuple[float, float, str]:
    """Of one trial, on one accelerator and in accelerators, and what that rests on."""
    found = estimate.estimate(chosen, estimate.timed(records))
    return found.hours * 3600, found.hours * 3600 * found.accelerators, found.basis.partition(",")[0]


def macs(chosen: Config) -> int:
    found = recorded_cost(chosen.plain())
    assert found
    return found.macs


def test_the_same_network_takes_what_it_took(data: list[str]) -> None:
    known = record(compose(data))
    same = compose([*data, "train.seed=3", "model.delta_init=0.5", "train.accelerator=auto"])
    assert seconds(same, known) == (pytest.approx(96), pytest.approx(96), "measured")
    longer = compose([*data, "train.epochs=4"])
    assert seconds(longer, known)[0] == pytest.approx(2 * TRAINING + REST * (2 * 24 + 4 * 16) / EVALUATED)
    unmeasured = compose([*data, "eval.every=0", "eval.sets=[h36m]"])
    assert seconds(unmeasured, known)[0] == pytest.approx(TRAINING + REST * 2 * 8 / EVALUATED)
    slower = record(compose(data), wall_s=TRAINING + 3 * REST)
    assert seconds(same, known, slower)[0] == pytest.approx(TRAINING + 2 * REST), "the mean of both"


def test_of_data_that_are_gone_the_evaluations_are_taken_as_they_were(data: list[str], tmp_path: Path) -> None:
    gone = record(compose([*data, f"data.sources.mpii.file={tmp_path / 'gone.h5'}"]))
    assert seconds(compose([*data, "train.epochs=4"]), gone)[0] == pytest.approx(2 * TRAINING + REST)
    with pytest.raises(UserError, match="does not exist"):
        seconds(compose([*data, f"data.sources.mpii.file={tmp_path / 'gone.h5'}"]))


def test_another_network_and_other_workers_are_scaled(data: list[str]) -> None:
    chosen = compose(data)
    wide = compose([*data, "model.width=0.5"])
    expected = 96 * macs(wide) / macs(chosen)
    assert seconds(wide, record(chosen)) == (pytest.approx(expected), pytest.approx(expected), "scaled from run abc")
    for more in ("train.workers=2", "train.threads=2"):
        two = compose([*data, more])
        assert seconds(two, record(chosen)) == (pytest.approx(48), pytest.approx(96), "scaled from run abc")
    narrow = record(compose([*data, "model.width=0.125"]), accelerators=2)
    assert seconds(wide, narrow, record(chosen))[0] == pytest.approx(expected), "as many cores come first"


def test_without_records_it_is_guessed(data: list[str], devices: Path) -> None:
    chosen = compose([*data, "train.accelerator=auto", "train.workers=2"])
    work = macs(chosen) * (3 * IMAGES + EVALUATED)
    on_cores = work / (2 * estimate.GUESSED_CORE_MACS)
    assert seconds(chosen) == (pytest.approx(on_cores), pytest.approx(2 * on_cores), "a guess for cpu")
    (devices / "nvidia0").touch()
    on_gpus = work / (2 * estimate.GUESSED_GPU_MACS)
    assert seconds(chosen) == (pytest.approx(on_gpus), pytest.approx(2 * on_gpus), "a guess for cuda")


def test_a_record_counts_for_the_device_it_was_made_on(
    data: list[str], devices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = compose([*data, "train.accelerator=auto"])
    cpu, cuda = record(chosen), record(chosen, "cuda", changed=1.0, wall_s=TRAINING)
    assert seconds(chosen, cpu, cuda)[0] == pytest.approx(96)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert seconds(chosen, cpu, cuda)[0] == pytest.approx(TRAINING), "the latest, where the Ray is another machine's"
    monkeypatch.delenv("RAY_ADDRESS")
    (devices / "nvidia0").touch()
    assert seconds(chosen, cpu, cuda)[0] == pytest.approx(TRAINING)
    assert seconds(chosen, cpu)[2] == "a guess for cuda"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert seconds(chosen, cpu, cuda)[0] == pytest.approx(96)


def test_a_dry_run_does_without_torch_and_ray(data: list[str], tmp_path: Path) -> None:
    (tmp_path / "rates.yaml").write_text(yaml.safe_dump({"axes": {"train.learning_rate": [0.001, 0.01]}}))
    words = [f"sweep={tmp_path / 'rates.yaml'}", *data, "data.epoch_samples=0"]
    code = (
        f"import sys; from sanpose.tuning import plan, sweep; planned = plan.make(sweep.read({words!r})); "
        "assert planned.hours; "
        "bad = {'torch', 'ray'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
