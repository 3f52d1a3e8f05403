"""The typed configuration and what of it defines a run. Reads nothing; knows no YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1  # raise it when the meaning of a key changes: the run ids change with it


BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


SOURCES = ("h36m", "mpii", "coco")


@dataclass(frozen=True)
class ModelConfig:
    """The network. `weights`: "none", "imagenet", or a file; `width` multiplies the backbone's channels."""

    backbone: str = "resnet50"
    width: float = 1.0
    weights: str = "none"
    joints: str = "h36m18"
    depth_bins: int = 64
    attention: str = "position"
    delta_init: float = 0.0
    attention_scale: bool = False
    attention_position: bool = False
    deconv_channels: int = 256


@dataclass(frozen=True)
class SourceConfig:
    """A packed file and its share of every epoch; share 0 leaves the source out of the training."""

    file: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class SourcesConfig:
    h36m: SourceConfig = field(default_factory=SourceConfig)
    mpii: SourceConfig = field(default_factory=SourceConfig)
    coco: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class AugmentConfig:
    """Probabilities and half-widths: degrees, fractions of the box, fractions of the image, factors of a channel."""

    flip: float = 0.5
    rotation: float = 30.0
    scale: float = 0.3
    translation: float = 0.02
    color: float = 0.0


@dataclass(frozen=True)
class DataConfig:
    """Input size in px, the sources, Human3.6M's subjects and strides. `epoch_samples` 0: the longest epoch in which
    no source repeats."""

    input_width: int = 256
    input_height: int = 256
    sources: SourcesConfig = field(default_factory=SourcesConfig)
    train_subjects: tuple[int, ...] = (1, 5, 6, 7, 8)
    test_subjects: tuple[int, ...] = (9, 11)
    train_stride: int = 5
    test_stride: int = 64
    epoch_samples: int = 0
    loader_workers: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation and its workers. `batch_size` is the global batch of one optimiser step, over all workers and
    accumulation steps. `threads` 0: the machine's cores divided by its workers. `recompute`: compute the largest
    activations twice instead of keeping them."""

    epochs: int = 200
    batch_size: int = 32
    learning_rate: float = 1e-4
    milestones: tuple[int, ...] = (170, 190)
    gamma: float = 0.1
    precision: str = "fp32"
    accumulation: int = 1
    clip: float = 0.0
    recompute: bool = False
    seed: int = 0
    workers: int = 1
    threads: int = 0
    accelerator: str = "auto"
    checkpoint_epochs: int = 1
    checkpoint_steps: int = 0
    keep: int = 2
    max_failures: int = 3


@dataclass(frozen=True)
class EvalConfig:
    """What is measured, on which packed files. `every`: epochs between evaluations on `every_samples` of each set
    (0: only at the end)."""

    sets: tuple[str, ...] = ("h36m",)
    flip_test: bool = False
    batch_size: int = 32
    every: int = 0
    every_samples: int = 512
    boxes: str = "ground_truth"


@dataclass(frozen=True)
class Config:
    """One experiment. `cell` is the row of the paper's Table 1 that it stands for, or empty."""

    preset: str
    cell: str
    runs: str
    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    eval: EvalConfig
    deepspeed: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """The same as plain dicts and lists, for YAML, JSON and worker processes."""
        plain: dict[str, Any] = _plain(self)
        return plain


# What does not define a run: where files lie, and how the same arithmetic is spread over a machine.
NUISANCE = (
    "runs", "cell", "preset", "train.workers", "train.threads", "train.accelerator", "train.checkpoint_epochs",
    "train.checkpoint_steps", "train.keep", "train.max_failures", "train.recompute", "data.loader_workers",
    "eval.batch_size",
    "data.sources.h36m.file", "data.sources.mpii.file", "data.sources.coco.file",
)  # fmt: skip


def identity_of(config: Config, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    """What defines the run, as plain values: the config without `NUISANCE`, and each used file's fingerprint; a file
    of weights counts by its fingerprint too, not by its path."""
    plain = config.plain()
    for dotted in NUISANCE:
        *path, last = dotted.split(".")
        node = plain
        for part in path:
            node = node[part]
        node.pop(last, None)
    if plain["model"]["weights"] not in ("none", "imagenet"):
        plain["model"]["weights"] = "file"
    plain["fingerprints"] = dict(sorted(fingerprints.items()))
    return plain


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value
