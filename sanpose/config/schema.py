"""The typed configuration of an experiment, and which keys do not define a run. Reads no files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

SCHEMA = 1  # raise this number when the meaning of a key changes: all run ids change


BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
STRIDES = (8, 16, 32)


SOURCES = ("h36m", "mpii", "coco")


@dataclass(frozen=True)
class ModelConfig:
    """The network. `weights`: "none", "imagenet", or a file; `width` multiplies the backbone's channels; `stride`: px
    of the input for a position of the backbone's last map, 32 in the paper."""

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
    stride: int = 32

    @property
    def own_weights(self) -> bool:
        """Whether `weights` names a file."""
        return self.weights not in ("none", "imagenet")


@dataclass(frozen=True)
class SourceConfig:
    """A packed file and its share of every epoch. A source with share 0 is not trained on."""

    file: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class SourcesConfig:
    """The three sources, always in the order of `SOURCES`."""

    h36m: SourceConfig = field(default_factory=SourceConfig)
    mpii: SourceConfig = field(default_factory=SourceConfig)
    coco: SourceConfig = field(default_factory=SourceConfig)

    def __getitem__(self, name: str) -> SourceConfig:
        """One source by its name. Raises KeyError for any other name."""
        return dict(self.items())[name]

    def items(self) -> tuple[tuple[str, SourceConfig], ...]:
        """Name and configuration of every source."""
        return (("h36m", self.h36m), ("mpii", self.mpii), ("coco", self.coco))

    def used(self) -> dict[str, SourceConfig]:
        """The sources that the training draws samples from: those with a share above 0."""
        return {name: source for name, source in self.items() if source.share > 0}


@dataclass(frozen=True)
class AugmentConfig:
    """`flip`: a probability. The others are half-widths of a range: `rotation` in degrees, `scale` as a fraction of the
    box, `translation` as a fraction of the image, `color` as a factor of each channel."""

    flip: float = 0.5
    rotation: float = 30.0
    scale: float = 0.3
    translation: float = 0.02
    color: float = 0.0


@dataclass(frozen=True)
class DataConfig:
    """Input size in px, the sources, Human3.6M's subjects and frame strides. `epoch_samples` 0 means the longest epoch
    in which no source repeats a sample."""

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
    """Optimisation and its workers. `batch_size`: the global batch of one optimiser step, over all workers and
    accumulation steps. `threads` 0 means the machine's cores divided by its workers. `recompute`: compute the largest
    activations twice instead of storing them."""

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
    """What is measured, on which packed files. `every`: epochs between evaluations on `every_samples` of each set; 0
    means only at the end."""

    sets: tuple[str, ...] = ("h36m",)
    flip_test: bool = False
    batch_size: int = 32
    every: int = 0
    every_samples: int = 512
    boxes: str = "ground_truth"


@dataclass(frozen=True)
class Config:
    """One experiment. `cell`: the row of the paper's Table 1 that this experiment reproduces, or empty."""

    preset: str
    cell: str
    runs: str
    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    eval: EvalConfig
    deepspeed: Mapping[str, object]

    def plain(self) -> dict[str, object]:
        """The configuration as plain dicts and lists, for YAML, JSON and worker processes, without keys of `LATER` at
        their default."""
        plain = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        for key, default in LATER.items():
            section, _, name = key.partition(".")
            group = plain[section]
            if isinstance(group, dict) and group[name] == default:
                del group[name]
        return plain


# Keys that came after the first runs were recorded. At its default such a key is not recorded: runs keep their ids.
LATER: Mapping[str, object] = {"model.stride": 32}

# Keys whose value is a path: on the command line, their text is taken as it stands.
PATHS = ("runs", "model.weights", *(f"data.sources.{name}.file" for name in SOURCES))

# Keys that do not define a run: where files are, and how a machine shares the same arithmetic.
NUISANCE = (
    "runs", "cell", "preset", "train.workers", "train.threads", "train.accelerator", "train.checkpoint_epochs",
    "train.checkpoint_steps", "train.keep", "train.max_failures", "train.recompute", "data.loader_workers",
    "eval.batch_size",
    "data.sources.h36m.file", "data.sources.mpii.file", "data.sources.coco.file",
)  # fmt: skip


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value
