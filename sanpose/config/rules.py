"""The rules of a valid configuration. The error of a rule names the value, the expected values, and what to try."""

from __future__ import annotations

from collections.abc import Iterator

from sanpose.config import deepspeed
from sanpose.config.schema import BACKBONES, SOURCES, STRIDES, Config
from sanpose.errors import UserError, nearest
from sanpose.pose.joints import TRAINING


def broken_rule(config: Config) -> UserError | None:
    """The first rule that the configuration breaks, or None."""
    for rules in (_model, _data, _train, _eval, deepspeed.broken):
        for broken in rules(config):
            return broken
    return None


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> Iterator[UserError]:
    if value not in allowed:
        yield UserError(f"{name}={value} is unknown", expected=", ".join(allowed), hint=nearest(value, allowed))


def _at_least(name: str, value: float, least: float) -> Iterator[UserError]:
    if not value >= least:
        yield UserError(f"{name}={value} is out of range", expected=f"at least {least}")


def _model(config: Config) -> Iterator[UserError]:
    model = config.model
    yield from _one_of("model.backbone", model.backbone, BACKBONES)
    yield from _one_of("model.joints", model.joints, tuple(TRAINING))
    yield from _one_of("model.attention", model.attention, ("none", "position", "channel"))
    yield from _at_least("model.depth_bins", model.depth_bins, 2)
    if model.stride not in STRIDES:
        yield UserError(f"model.stride={model.stride} is not a stride", expected="8, 16 or 32, the paper's")
    if model.stride != 32 and model.weights == "imagenet":
        yield UserError(
            f"ImageNet's weights were trained with stride 32, not {model.stride}",
            hint="model.weights=none, or model.stride=32",
        )
    yield from _at_least("model.deconv_channels", model.deconv_channels, 1)
    if not 0 < model.width <= 4:
        yield UserError(f"model.width={model.width} is out of range", expected="above 0, at most 4")
    if model.width != 1 and model.weights == "imagenet":
        yield UserError(
            f"model.width={model.width} does not fit ImageNet's weights",
            expected="model.width=1, the width of the weights",
            hint="model.weights=none",
        )
    if model.attention == "none" and (model.attention_scale or model.attention_position or model.delta_init):
        yield UserError(
            "model.attention=none leaves model.delta_init, attention_scale and attention_position without effect",
            expected="delta_init=0 and both options false",
        )
    if model.attention == "channel" and model.attention_position:
        yield UserError("model.attention=channel has no positions to learn", hint="model.attention_position=false")


def _data(config: Config) -> Iterator[UserError]:
    data = config.data
    for name, size in (("input_width", data.input_width), ("input_height", data.input_height)):
        stride = config.model.stride
        if size < 32 or size % stride:
            near = max(32, round(size / stride) * stride)
            yield UserError(
                f"data.{name}={size} does not fit the network",
                expected=f"at least 32, and a multiple of {stride}, the backbone's stride",
                hint=f"data.{name}={near}",
            )
    for name, source in data.sources.items():
        yield from _at_least(f"data.sources.{name}.share", source.share, 0)
        if source.share > 0 and not source.file:
            yield UserError(f"data.sources.{name} has a share but no file", hint=f"data.sources.{name}.file=FILE.h5")
    if not data.sources.used():
        yield UserError("no source has a share above 0: there is nothing to train on", hint="data.sources.h36m.share=1")
    for name, stride in (("train_stride", data.train_stride), ("test_stride", data.test_stride)):
        yield from _at_least(f"data.{name}", stride, 1)
    yield from _at_least("data.epoch_samples", data.epoch_samples, 0)
    yield from _at_least("data.loader_workers", data.loader_workers, 0)
    both = sorted(set(data.train_subjects) & set(data.test_subjects))
    if both and data.train_stride != 1:
        yield UserError(
            f"subjects {both} are in both data.train_subjects and data.test_subjects",
            expected="different subjects: otherwise the result says nothing about new people",
        )
    augment = data.augment
    for name, value, most in (
        ("flip", augment.flip, 1.0), ("rotation", augment.rotation, 180.0), ("scale", augment.scale, 0.9),
        ("translation", augment.translation, 0.5), ("color", augment.color, 1.0),
    ):  # fmt: skip
        if not 0 <= value <= most:
            yield UserError(f"data.augment.{name}={value} is out of range", expected=f"0 to {most}")


def _train(config: Config) -> Iterator[UserError]:
    train = config.train
    for name in ("epochs", "batch_size", "accumulation", "workers", "keep", "checkpoint_epochs"):
        yield from _at_least(f"train.{name}", getattr(train, name), 1)
    for name in ("clip", "threads", "checkpoint_steps", "max_failures", "seed"):
        yield from _at_least(f"train.{name}", getattr(train, name), 0)
    if not 0 < train.learning_rate < 1:
        yield UserError(f"train.learning_rate={train.learning_rate} is out of range", expected="between 0 and 1")
    if not 0 < train.gamma <= 1:
        yield UserError(f"train.gamma={train.gamma} is out of range", expected="above 0, at most 1")
    yield from _one_of("train.precision", train.precision, ("fp32", "bf16"))
    yield from _one_of("train.accelerator", train.accelerator, ("auto", "cpu", "cuda"))
    parts = train.workers * train.accumulation
    if train.batch_size % parts:
        yield UserError(
            f"train.batch_size={train.batch_size} cannot be split evenly",
            expected=f"a multiple of workers x accumulation = {train.workers} x {train.accumulation} = {parts}",
            hint=f"train.batch_size={-(-train.batch_size // parts) * parts}{_or_workers(config)}",
        )
    epoch = config.data.epoch_samples
    if 0 < epoch < train.batch_size:
        yield UserError(f"data.epoch_samples={epoch} is less than one batch of {train.batch_size}")


def _or_workers(config: Config) -> str:
    """The numbers of workers that keep the global batch, because the global batch defines a run."""
    share, remainder = divmod(config.train.batch_size, config.train.accumulation)
    counts = [] if remainder else [n for n in range(1, share + 1) if share % n == 0]
    return f", or train.workers={'|'.join(map(str, counts))}" if counts else ""


def _eval(config: Config) -> Iterator[UserError]:
    for name in config.eval.sets:
        yield from _one_of("eval.sets", name, SOURCES)
        if name in SOURCES and not config.data.sources[name].file:
            yield UserError(f"eval.sets names {name}, which has no file", hint=f"data.sources.{name}.file=FILE.h5")
    if "coco" in config.eval.sets and config.model.joints != "union22":
        yield UserError(
            f"COCO AP needs the eyes and ears, which model.joints={config.model.joints} lacks",
            hint="model.joints=union22",
        )
    yield from _one_of("eval.boxes", config.eval.boxes, ("ground_truth", "detected"))
    yield from _at_least("eval.batch_size", config.eval.batch_size, 1)
    yield from _at_least("eval.every", config.eval.every, 0)
    yield from _at_least("eval.every_samples", config.eval.every_samples, 1)
