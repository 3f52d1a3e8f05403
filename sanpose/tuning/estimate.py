"""Estimate the hours of a training: from recorded runs if there are any, else a guess that is called a guess.

The time of a recorded run has two parts: the training, at its measured images per second, and the overhead of its start
and its evaluations. For the same network on the same kind and number of cores or GPUs, both parts are scaled by the
number of images. For another network they are also scaled by multiply-accumulates and by the number of cores or GPUs.
Starts nothing, and needs no torch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from sanpose.config.compose import from_plain
from sanpose.config.schema import Config, DataConfig
from sanpose.errors import UserError
from sanpose.model.cost import recorded_cost
from sanpose.runs import active, facts
from sanpose.runs.facts import setting
from sanpose.runs.ledger import RunRecord

GUESSED_CORE_MACS, GUESSED_GPU_MACS = 5e9, 5e12  # per second of training, roughly
_PASSES = 3  # forwards, and backwards twice as much
DEVICES = Path("/dev")
_SPEED_KEYS = (
    "data.input_width", "data.input_height", "train.batch_size", "train.precision", "train.accumulation",
    "train.workers",
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """Hours of one trial on `accelerators` cores or GPUs, and the basis of the estimate, in words."""

    hours: float
    accelerators: int
    basis: str


@dataclass(frozen=True)
class Timed:
    """A finished run with recorded times. `per_image`: seconds of training per image; `overhead`: seconds of its start
    and its evaluations."""

    record: RunRecord
    device: str
    accelerators: int
    per_image: float
    overhead: float

    @cached_property
    def evaluated(self) -> int | None:
        """Images in the evaluations of the run; None when its data files are gone."""
        with contextlib.suppress(UserError):
            return _evaluated(from_plain(self.record.config))
        return None

    def seconds(self, images: int, evaluated: int) -> float:
        """The seconds that the same network needs for so many images."""
        return self.per_image * images + self.overhead * (evaluated / self.evaluated if self.evaluated else 1.0)


def timed(records: Iterable[RunRecord]) -> list[Timed]:
    """The finished runs with recorded times."""
    runs = []
    for record in records:
        bill = facts.bill(record)
        if record.status == "done" and bill.wall_s and bill.images and bill.accelerators:
            rate = bill.images_per_s or bill.images / bill.wall_s
            overhead = max(0.0, bill.wall_s - bill.images / rate)
            runs.append(Timed(record, bill.device or "cpu", int(bill.accelerators), 1 / rate, overhead))
    return runs


def estimate(config: Config, runs: Sequence[Timed]) -> Estimate:
    """Estimate the training of a configuration from timed runs. Raises UserError for bad data files."""
    device = _device(config, runs)
    accelerators = config.train.workers * (1 if device == "cuda" else active.cores(config))
    images, evaluated, macs = _images(config), _evaluated(config), _macs(config.plain())
    near = [t for t in runs if t.device == device]
    same = [
        t for t in near if t.accelerators == accelerators and _speed_key(t.record.config) == _speed_key(config.plain())
    ]
    if same:
        seconds = sum(t.seconds(images, evaluated) for t in same) / len(same)
        return Estimate(seconds / 3600, accelerators, f"measured, {len(same)} runs of this network")
    near = [t for t in near if _macs(t.record.config)]
    if near and macs:
        best = min(near, key=lambda t: (t.accelerators != accelerators, abs(_macs(t.record.config) - macs)))
        factor = macs / _macs(best.record.config) * best.accelerators / accelerators
        return Estimate(
            best.seconds(images, evaluated) * factor / 3600, accelerators, f"scaled from run {best.record.id}"
        )
    rate = (GUESSED_GPU_MACS if device == "cuda" else GUESSED_CORE_MACS) * accelerators
    seconds = macs * (_PASSES * images + evaluated) / rate
    return Estimate(seconds / 3600, accelerators, f"a guess for {device}, from multiply-accumulates")


def mean(estimates: Sequence[Estimate]) -> Estimate:
    first = estimates[0]
    return Estimate(sum(e.hours for e in estimates) / len(estimates), first.accelerators, first.basis)


def _device(config: Config, runs: Sequence[Timed]) -> str:
    """ "cuda" or "cpu": as on this machine. With RAY_ADDRESS, as the latest recorded run that could choose its device;
    Ray is not contacted."""
    if config.train.accelerator != "auto":
        return config.train.accelerator
    automatic = [t for t in runs if setting(t.record.config, "train.accelerator") == "auto"]
    if os.environ.get("RAY_ADDRESS") and automatic:
        return max(automatic, key=lambda t: t.record.changed).device
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return "cuda" if any(DEVICES.glob("nvidia[0-9]*")) and not hidden else "cpu"


def _images(config: Config) -> int:
    """Images in a whole training."""
    data, batch = config.data, config.train.batch_size
    used = data.sources.used().values()
    length = data.epoch_samples
    if not length:
        from sanpose.data.mix import Mix

        sizes = tuple(_size(source.file, _counted(data), config.model.joints, "training") for source in used)
        length = Mix(sizes, tuple(source.share for source in used), 0).length
    return config.train.epochs * (length // batch) * batch


def _evaluated(config: Config) -> int:
    """Images in the evaluations: all images before and after the training, a part of them in between."""
    from sanpose.data import sources

    data, evals = config.data, config.eval
    sizes = {}
    for name in evals.sets:
        purpose = "detections" if sources.uses_detections(config, name) else "evaluation"
        sizes[name] = _size(data.sources[name].file, _counted(data), config.model.joints, purpose)
    times = -(-config.train.epochs // evals.every) if evals.every else 0
    part = sum(min(size, evals.every_samples) for name, size in sizes.items() if name != "coco")
    return (2 * sum(sizes.values()) + times * part) * (2 if evals.flip_test else 1)


def _counted(data: DataConfig) -> DataConfig:
    """The part of the configuration that decides which samples of a file count."""
    return DataConfig(
        train_subjects=data.train_subjects,
        test_subjects=data.test_subjects,
        train_stride=data.train_stride,
        test_stride=data.test_stride,
    )


@cache
def _size(file: str, data: DataConfig, joints: str, purpose: str) -> int:
    """How many samples of a packed file are for a purpose: "training", "evaluation" or "detections"."""
    from sanpose.data import packed, samples
    from sanpose.pose.joints import TRAINING

    data_file = packed.read(file)
    if purpose == "detections":
        return len(samples.detections(data_file, TRAINING[joints]))
    take = samples.training if purpose == "training" else samples.evaluation
    return len(take(data_file, data, TRAINING[joints]))


def _macs(config: Mapping[str, object]) -> int:
    network = recorded_cost(config)
    return network.macs if network else 0


def _speed_key(config: Mapping[str, object]) -> tuple[object, ...]:
    """The settings that decide how long one image takes on a device. Earlier versions recorded no train.recompute."""
    model = setting(config, "model")
    network = {k: v for k, v in model.items() if k not in ("weights", "delta_init")} if isinstance(model, dict) else {}
    return repr(network), bool(setting(config, "train.recompute")), *(setting(config, key) for key in _SPEED_KEYS)
