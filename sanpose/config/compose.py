"""From YAML and overrides to a frozen, validated `Config`. Hydra composes the YAML once, in the driver."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sanpose.config.arguments import split
from sanpose.config.rules import broken_rule
from sanpose.config.schema import PATHS, Config, SourcesConfig
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

    The values of `PATHS` are not Hydra's: their text is taken as it stands, with blanks, brackets, quotes and all.
    Raises UserError for an unknown key or group option (the message names the nearest), for a value of the wrong type,
    and for a combination that cannot work.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    folder = configs_dir()
    check_keys(overrides, folder, Config)
    paths, others = split(overrides, *PATHS)
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            composed = hydra_compose("config", others)
        plain = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        problem = f"cannot compose the configuration: {_first_lines(error)}"
        raise UserError(problem, where=" ".join(overrides)) from error
    return from_plain(_with_paths(plain, paths, leave_out="scale"))


def _with_paths(plain: object, paths: Mapping[str, str], leave_out: str = "") -> dict[str, object]:
    """A composed configuration with these paths by their keys."""
    assert isinstance(plain, dict)
    for key, text in paths.items():
        *groups, name = key.split(".")
        functools.reduce(operator.getitem, groups, plain)[name] = text
    return {str(key): value for key, value in plain.items() if key != leave_out}


def from_plain(plain: Mapping[str, object]) -> Config:
    """A typed, validated Config from plain dicts. Raises UserError as `compose` does."""
    config = typed(Config, plain, "")
    broken = broken_rule(config)
    if broken:
        raise broken
    return config


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """A recorded configuration with `key=value` overrides. Raises UserError as `compose` does."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    check_keys(overrides, configs_dir(), Config)
    for override in overrides:
        if override.partition("=")[0] in ("preset", "ablation", "deepspeed", "cell"):
            raise UserError(f"a recorded run fixes '{override}'", expected="single keys, such as train.workers=2")
    paths, others = split(overrides, *PATHS)
    recorded = {key: operator.attrgetter(key)(config) for key in PATHS}
    without_paths = _with_paths(config.plain(), dict.fromkeys(PATHS, ""))  # OmegaConf would read a path's "${"
    try:
        merged = OmegaConf.merge(OmegaConf.create(without_paths), OmegaConf.from_dotlist(others))
        plain = OmegaConf.to_container(merged, resolve=True)
    except (YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"cannot read an override: {_first_lines(error)}", where=" ".join(overrides)) from error
    return from_plain(_with_paths(plain, {**recorded, **paths}))


def located(config: Config) -> Config:
    """The configuration with absolute paths, for processes in other working directories and for the record.

    Raises UserError for a relative folder of runs in a Ray job: Ray removes the working directory of a job.
    """
    if "working_dir_files" in Path.cwd().parts and not Path(config.runs).is_absolute():
        raise UserError(
            f"runs={config.runs} is relative, and Ray removes the working directory of a job",
            where=Path.cwd(),
            expected="absolute paths in a Ray job",
            hint="runs=/shared/folder/runs, and an absolute path for data.sources.h36m.file and the other files",
        )
    sources = {
        name: replace(source, file=source.file and str(Path(source.file).absolute()))
        for name, source in config.data.sources.items()
    }
    weights = config.model.weights
    return replace(
        config,
        runs=str(Path(config.runs).absolute()),
        model=replace(config.model, weights=str(Path(weights).absolute()) if config.model.own_weights else weights),
        data=replace(config.data, sources=SourcesConfig(**sources)),
    )


def _first_lines(error: BaseException) -> str:
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem and mark:  # an error of YAML names the file in its fourth line only
        return f"{problem}, in {mark.name}, line {mark.line + 1}"
    return " ".join(line.strip() for line in str(error).splitlines()[:2]) or type(error).__name__
