"""The configuration: typed, composed once by Hydra in the driver, validated across fields, frozen.

Everything downstream gets a `Config`; nobody else reads YAML. `identity_of` says what of it defines a run.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sanpose.config_reading import check_keys, typed
from sanpose.errors import UserError

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


def configs_dir() -> Path:
    """The folder of the shipped YAML and the paper's tables: $SANPOSE_CONFIGS, else `configs/` beside the package."""
    folder = Path(os.environ.get("SANPOSE_CONFIGS") or Path(__file__).resolve().parents[1] / "configs")
    if not (folder / "config.yaml").is_file():
        raise UserError(
            "the configuration folder is missing",
            where=folder,
            expected="a folder with config.yaml, preset/, ablation/",
            hint="set SANPOSE_CONFIGS to the configs folder of the project",
        )
    return folder


def compose(overrides: Sequence[str] = ()) -> Config:
    """Compose configs/config.yaml with Hydra overrides, such as `preset=quick ablation=c train.seed=1`.

    Raises UserError for an unknown key or group option (naming the nearest one), a value of the wrong type, and a
    combination that cannot work.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    folder = configs_dir()
    check_keys(overrides, folder, Config)
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            composed = hydra_compose("config", list(overrides))
        plain = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise UserError(
            f"the configuration cannot be composed: {_first_lines(error)}", where=" ".join(overrides)
        ) from error
    assert isinstance(plain, dict)
    return from_plain({str(key): value for key, value in plain.items() if key != "scale"})


def from_plain(plain: Mapping[str, Any]) -> Config:
    """A typed, validated Config from plain dicts. Raises UserError as `compose` does."""
    config: Config = typed(Config, plain, "")
    validate(config)
    return config


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """A recorded configuration with `key=value` overrides. Raises UserError as `compose` does."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    check_keys(overrides, configs_dir(), Config)
    for override in overrides:
        if override.partition("=")[0] in ("preset", "ablation", "deepspeed", "cell"):
            raise UserError(
                f"'{override}' chooses what a recorded run has fixed", expected="single keys, as train.workers=2"
            )
    try:
        merged = OmegaConf.merge(OmegaConf.create(config.plain()), OmegaConf.from_dotlist(list(overrides)))
        plain = OmegaConf.to_container(merged, resolve=True)
    except (YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"an override cannot be read: {_first_lines(error)}", where=" ".join(overrides)) from error
    assert isinstance(plain, dict)
    return from_plain({str(key): value for key, value in plain.items()})


def validate(config: Config) -> None:
    """Rules within and across fields; the first one broken is a UserError with the value and the rule."""
    from sanpose.config_rules import broken_rule

    broken = broken_rule(config)
    if broken:
        raise broken


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


def located(config: Config) -> Config:
    """The configuration with absolute paths, for processes that stand elsewhere and for the record.

    Raises UserError for a relative folder of runs in a Ray job, whose working directory is a copy that Ray removes.
    """
    if "working_dir_files" in Path.cwd().parts and not Path(config.runs).is_absolute():
        raise UserError(
            f"runs={config.runs} is relative, and the working directory of a Ray job is thrown away",
            where=Path.cwd(),
            expected="absolute paths in a Ray job",
            hint="runs=/shared/folder/runs, and so for data.sources.h36m.file and the others",
        )
    sources = {name: getattr(config.data.sources, name) for name in SOURCES}
    absolute = {n: dataclasses.replace(s, file=s.file and str(Path(s.file).absolute())) for n, s in sources.items()}
    weights = config.model.weights
    if weights not in ("none", "imagenet"):
        weights = str(Path(weights).absolute())
    return dataclasses.replace(
        config,
        runs=str(Path(config.runs).absolute()),
        model=dataclasses.replace(config.model, weights=weights),
        data=dataclasses.replace(config.data, sources=SourcesConfig(**absolute)),
    )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _first_lines(error: BaseException) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[:2]) or type(error).__name__
