"""From YAML and overrides to a frozen, validated `Config`: composed once by Hydra, in the driver."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sanpose.config.schema import SOURCES, Config, SourcesConfig
from sanpose.config.typed import check_keys, typed
from sanpose.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]


def configs_dir() -> Path:
    """The folder of the shipped YAML and the paper's tables: $SANPOSE_CONFIGS, else `configs/` beside the package."""
    folder = Path(os.environ.get("SANPOSE_CONFIGS") or REPOSITORY / "configs")
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
    from sanpose.config.rules import broken_rule

    broken = broken_rule(config)
    if broken:
        raise broken


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


def _first_lines(error: BaseException) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[:2]) or type(error).__name__
