"""What a training would take: hours from recorded runs where there are any, else a guess that says so.

A recorded run has two parts: the training proper, by its measured images per second, and the rest, which is its start
and its evaluations. Of the same network on the same kind and number of cores or GPUs both are taken as they were, but
for the images that are trained on and evaluated; of another one they are scaled by multiply-accumulates and by the
number of cores or GPUs. Starts nothing, and does without torch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from sanpose.config.compose import from_plain
from sanpose.config.schema import SOURCES, Config, DataConfig
from sanpose.errors import UserError
from sanpose.model.cost import recorded_cost
from sanpose.runs import active
from sanpose.runs.ledger import RunRecord

GUESSED_CORE_MACS, GUESSED_GPU_MACS = 5e9, 5e12  # per second, of training: a rough guess, said to be one
_PASSES = 3  # forwards, and backwards twice as much
_DEVICES = Path("/dev")


@dataclass(frozen=True)
class Estimate:
    """Hours of one trial on `accelerators` cores or GPUs, and what they rest on."""

    hours: float
    accelerators: int
    basis: str


@dataclass(frozen=True)
class Timed:
    """A finished run whose record says how long it took. `per_image`: seconds of training; `rest`: seconds of its start
    and its evaluations."""

    record: RunRecord
    device: str
    accelerators: int
    per_image: float
    rest: float

    @cached_property
    def evaluated(self) -> int | None:
        """Images that its evaluations looked at, None when its data are no longer there."""
        with contextlib.suppress(UserError):
            return _evaluated(from_plain(self.record.config))
        return None

    def seconds(self, images: int, evaluated: int) -> float:
        """What its network would take for so many images."""
        return self.per_image * images + self.rest * (evaluated / self.evaluated if self.evaluated else 1.0)


def timed(records: Iterable[RunRecord]) -> list[Timed]:
    """Those of the records that say how long a training took."""
    found = []
    for record in records:
        bill = record.extra.get("bill") or {}
        if record.status == "done" and bill.get("images"):
            seconds, images = float(bill["wall_s"]), int(bill["images"])
            rate = bill.get("images_per_s") or images / seconds
            rest = max(0.0, seconds - images / rate)
            found.append(Timed(record, str(bill.get("device", "cpu")), int(bill["accelerators"]), 1 / rate, rest))
    return found


def estimate(config: Config, known: Sequence[Timed]) -> Estimate:
    """What training a configuration would take, by the runs that are known. Raises UserError for bad data files."""
    device = _device(config, known)
    many = config.train.workers * (1 if device == "cuda" else active.cores(config))
    images, evaluated, macs = _images(config), _evaluated(config), _macs(config.plain())
    near = [t for t in known if t.device == device]
    same = [t for t in near if t.accelerators == many and _speed_key(t.record.config) == _speed_key(config.plain())]
    if same:
        seconds = sum(t.seconds(images, evaluated) for t in same) / len(same)
        return Estimate(seconds / 3600, many, f"measured, {len(same)} runs of this network")
    near = [t for t in near if _macs(t.record.config)]
    if near and macs:
        best = min(near, key=lambda t: (t.accelerators != many, abs(_macs(t.record.config) - macs)))
        factor = macs / _macs(best.record.config) * best.accelerators / many
        return Estimate(best.seconds(images, evaluated) * factor / 3600, many, f"scaled from run {best.record.id}")
    rate = (GUESSED_GPU_MACS if device == "cuda" else GUESSED_CORE_MACS) * many
    seconds = macs * (_PASSES * images + evaluated) / rate
    return Estimate(seconds / 3600, many, f"a guess for {device}, from multiply-accumulates")


def mean(found: Sequence[Estimate]) -> Estimate:
    return Estimate(sum(e.hours for e in found) / len(found), found[0].accelerators, found[0].basis)


def _device(config: Config, known: Sequence[Timed]) -> str:
    """ "cuda" or "cpu", by what the run would find: on this machine, or, without asking the Ray of RAY_ADDRESS, where
    the latest run that could choose was trained."""
    if config.train.accelerator != "auto":
        return config.train.accelerator
    chosen = [t for t in known if t.record.config["train"]["accelerator"] == "auto"]
    if os.environ.get("RAY_ADDRESS") and chosen:
        return max(chosen, key=lambda t: t.record.changed).device
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return "cuda" if any(_DEVICES.glob("nvidia[0-9]*")) and not hidden else "cpu"


def _images(config: Config) -> int:
    """Images that a training looks at."""
    data, batch = config.data, config.train.batch_size
    shares = {n: getattr(data.sources, n) for n in SOURCES if getattr(data.sources, n).share > 0}
    length = data.epoch_samples
    if not length:
        from sanpose.data.mix import Mix

        sizes = tuple(_size(source.file, _counted(data), config.model.joints, "training") for source in shares.values())
        length = Mix(sizes, tuple(source.share for source in shares.values()), 0).length
    return config.train.epochs * (length // batch) * batch


def _evaluated(config: Config) -> int:
    """Images that its evaluations look at: all before and after the training, a part of them along the way."""
    from sanpose.data import sources

    data, evals = config.data, config.eval
    sizes = {}
    for name in evals.sets:
        purpose = "detections" if sources.uses_detections(config, name) else "evaluation"
        sizes[name] = _size(getattr(data.sources, name).file, _counted(data), config.model.joints, purpose)
    times = -(-config.train.epochs // evals.every) if evals.every else 0
    part = sum(min(size, evals.every_samples) for name, size in sizes.items() if name != "coco")
    return (2 * sum(sizes.values()) + times * part) * (2 if evals.flip_test else 1)


def _counted(data: DataConfig) -> DataConfig:
    """What of it decides which samples are taken from a file."""
    told = {name: getattr(data, name) for name in ("train_subjects", "test_subjects", "train_stride", "test_stride")}
    return replace(DataConfig(), **told)


@cache
def _size(file: str, data: DataConfig, joints: str, purpose: str) -> int:
    """How many samples of a packed file are for a purpose: "training", "evaluation" or "detections"."""
    from sanpose.data import packed, samples
    from sanpose.pose.joints import TRAINING

    found = packed.read(file)
    if purpose == "detections":
        return len(samples.detections(found, TRAINING[joints]))
    take = samples.training if purpose == "training" else samples.evaluation
    return len(take(found, data, TRAINING[joints]))


def _macs(plain: dict[str, object]) -> int:
    found = recorded_cost(plain)
    return found.macs if found else 0


def _speed_key(plain: dict[str, object]) -> tuple[object, ...]:
    """What decides how long one image takes, beside what it runs on."""
    model, data, train = (dict(plain[name]) for name in ("model", "data", "train"))  # type: ignore[call-overload]
    network = {k: v for k, v in model.items() if k not in ("weights", "delta_init")}
    rest = [train[k] for k in ("batch_size", "precision", "accumulation", "workers")]
    return repr(network), data["input_width"], data["input_height"], train.get("recompute", False), *rest
