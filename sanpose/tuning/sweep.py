"""A sweep as a person asks for it: a shipped or own definition, how many seeds, overrides; checked before it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from sanpose.config.compose import compose, configs_dir
from sanpose.config.schema import NUISANCE, Config
from sanpose.config.typed import check_keys
from sanpose.errors import UserError, nearest
from sweeps import definition
from sweeps.definition import BadSweep, Definition
from sweeps.record import MOST_SEEDS, MOST_TRIALS
from sweeps.secrecy import masked

_CHECKED = 100  # points of a grid that are composed beforehand; of a larger one every option is, once
OBJECTIVES = {"mpjpe_mm": "h36m", "pckh": "mpii", "ap": "coco", "macs": None}  # and the set that each is measured on


@dataclass(frozen=True)
class Checked:
    """The points that are composed before a sweep starts. `configs`: of those that can be, with seed 0; `refused`: the
    others, and why."""

    configs: tuple[Config, ...]
    refused: tuple[tuple[definition.Values, UserError], ...]


@dataclass(frozen=True)
class Sweep:
    """What was asked for: a definition, how many seeds, and overrides of every trial."""

    name: str
    definition: Definition
    seeds: int
    overrides: tuple[str, ...]

    def config(self, values: Mapping[str, Any], seed: int) -> Config:
        """The configuration of one trial. Raises UserError as `config.compose` does."""
        return compose([*self.overrides, *self.definition.overrides(dict(values)), f"train.seed={seed}"])

    @cached_property
    def checked(self) -> Checked:
        """The whole grid; of a large one, and of a search, points that show every option."""
        grid = self.definition.grid() if self.definition.search.sampler == "grid" else []
        configs, refused = [], []
        for values in grid if 0 < len(grid) <= _CHECKED else _corners(self.definition):
            try:
                configs.append(self.config(values, 0))
            except UserError as error:
                refused.append((values, error))
        return Checked(tuple(configs), tuple(refused))

    @property
    def warning(self) -> str | None:
        """One line on the checked points that no configuration can be made of, or None."""
        configs, refused = self.checked.configs, self.checked.refused
        if not refused:
            return None
        values, error = refused[0]
        said = f"{len(refused)} of the {len(configs) + len(refused)} points that were checked cannot be run"
        return f"{said}, such trials are recorded as failed; the first, {definition.label(values)}: {error.what}"

    @property
    def runs(self) -> Path:
        return Path(_last(self.overrides, "runs") or "runs")

    def head(self) -> dict[str, Any]:
        """What defines the sweep, as plain data: a sweep of the same name must be the same."""
        search = self.definition.search
        return {
            "title": self.definition.title,
            "fixed": list(self.definition.fixed),
            "axes": [{"name": a.name, "values": _axis_values(a), "means": _means(a)} for a in self.definition.axes],
            "search": None if search.sampler == "grid" else _search(search),
            "pruner": search.pruner,
            "trials": None if search.sampler == "grid" else search.trials,
            "objectives": [
                {"name": n, "direction": d}
                for n, d in zip(search.objectives, definition.directions(search.objectives), strict=True)
            ],
            "overrides": [o for o in self.overrides if not o.startswith(_NUISANCE)],
        }


# What an axis of nothing else would vary in vain. Of the others, a preset sets more than its name, and a file counts by
# what it holds.
_IDLE = {key for key in NUISANCE if key not in ("preset", "cell") and not key.endswith(".file")}
_COMMON = {"runs", "train.workers", "train.threads", "train.accelerator"}  # all trials get the same room, in one place
_NUISANCE = tuple(f"{key}=" for key in NUISANCE if key not in ("preset", "cell"))


def _axis_values(axis: definition.Axis) -> Any:
    if axis.range:
        return {"low": axis.range.low, "high": axis.range.high, "log": axis.range.log, "whole": axis.range.whole}
    return list(axis.options)


def _means(axis: definition.Axis) -> dict[str, list[str]]:
    return {str(option): list(overrides) for option, overrides in axis.options.items()}


def _search(search: definition.Search) -> dict[str, Any]:
    """What decides how a search goes on; how long it goes on does not, nor does the password of its database."""
    names = ("sampler", "pruner", "grace", "reduction", "seed")
    return {name: getattr(search, name) for name in names} | {"storage": masked(search.storage)}


def read(arguments: Sequence[str]) -> Sweep:
    """The sweep that `sweep=NAME seeds=N name=TEXT search.KEY=VALUE` and further overrides ask for.

    `sweep` is a name in configs/sweep/ or a YAML file. Raises UserError for anything that cannot be used.
    """
    given = {key: value for key, _, value in (a.partition("=") for a in arguments) if key in ("sweep", "seeds", "name")}
    rest = tuple(a for a in arguments if a.partition("=")[0] not in ("sweep", "seeds", "name") and not _of_search(a))
    path = _file(given.get("sweep", ""))
    try:
        changes = {a[7:].partition("=")[0]: yaml.safe_load(a.partition("=")[2]) for a in arguments if _of_search(a)}
        found = definition.read(yaml.safe_load(path.read_text()), changes)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, BadSweep) as error:
        raise UserError(f"this sweep cannot be used: {error}", where=path) from error
    seeds = given.get("seeds", "1")
    if not seeds.isdecimal() or len(seeds) > 9 or not 1 <= int(seeds) <= MOST_SEEDS:
        raise UserError(f"seeds={seeds} is not a number of seeds", expected=f"1, 2, ... {MOST_SEEDS:,}")
    if found.size * int(seeds) > MOST_TRIALS:
        raise UserError(
            f"the sweep would have {found.size * int(seeds):,} trials", expected=f"at most {MOST_TRIALS:,}", where=path
        )
    name = given.get("name") or f"{path.stem}-{_last(rest, 'preset') or 'paper'}"
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
        raise UserError(f"name={name} cannot name a folder", expected="letters, digits, - and _")
    sweep = Sweep(name, found, int(seeds), rest)
    _refuse_overruled(sweep)
    _refuse_idle(sweep.definition)
    _check(sweep)
    return sweep


def _last(overrides: Sequence[str], key: str) -> str:
    return next((o.partition("=")[2] for o in reversed(overrides) if o.startswith(f"{key}=")), "")


def _of_search(argument: str) -> bool:
    return argument.startswith("search.") and "=" in argument


def _file(name: str) -> Path:
    folder = configs_dir() / "sweep"
    shipped = sorted(p.stem for p in folder.glob("*.yaml"))
    if name in shipped:
        return folder / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    raise UserError(
        f"sweep={name}: there is no such sweep" if name else "which sweep?",
        expected=f"{', '.join(shipped)}, or a YAML file",
        hint=nearest(name, shipped) or "sweep=table1",
    )


def _refuse_overruled(sweep: Sweep) -> None:
    """Refuse overrides that the sweep's own would overrule without a word."""
    found = sweep.definition
    meant = [o for axis in found.axes for overrides in axis.options.values() for o in overrides]
    own = {o.partition("=")[0] for o in (*found.fixed, *meant)} | {axis.name for axis in found.axes}
    if "train.seed" in own:
        raise UserError("a sweep sets train.seed itself", expected="an axis or override of another key", hint="seeds=N")
    for override in sweep.overrides:
        key = override.partition("=")[0]
        if key == "train.seed" or key in own:
            hint = "seeds=N" if key == "train.seed" else "a sweep of your own: copy the YAML file"
            raise UserError(
                f"'{override}' is what the sweep sets itself", expected="overrides of other keys", hint=hint
            )


def _refuse_idle(found: Definition) -> None:
    """Refuse axes that vary what all trials have in common, or nothing that makes another run."""
    for axis in found.axes:
        options = [axis.overrides(value) for value in ([axis.range.low] if axis.range else axis.options)]
        keys = {override.partition("=")[0] for overrides in options for override in overrides}
        wrong = sorted(keys & _COMMON) or sorted(keys if keys and keys <= _IDLE else ())
        if wrong:
            raise UserError(
                f"{', '.join(wrong)} cannot be what an axis varies: "
                + ("it is the same for all trials" if keys & _COMMON else "it makes no other run"),
                expected="an axis of what defines a run",
                hint=f"{wrong[0]}=... as an override of the sweep",
            )


def _check(sweep: Sweep) -> None:
    """Refuse before anything is started what no trial could do, and a misspelt key wherever it stands."""
    check_keys([*sweep.overrides, *_meant(sweep.definition)], configs_dir(), Config)
    if not sweep.checked.configs:
        raise sweep.checked.refused[0][1]
    for config in sweep.checked.configs:
        for name in sweep.definition.search.objectives:
            if name not in OBJECTIVES:
                raise UserError(
                    f"'{name}' is no objective", expected=", ".join(OBJECTIVES), hint=nearest(name, OBJECTIVES)
                )
            if OBJECTIVES[name] not in (None, *config.eval.sets):
                raise UserError(
                    f"the objective {name} is measured on {OBJECTIVES[name]}, which eval.sets leaves out",
                    where=f"eval.sets=[{', '.join(config.eval.sets)}]",
                    hint=f"eval.sets=[{', '.join((*config.eval.sets, str(OBJECTIVES[name])))}]",
                )
        if sweep.definition.search.pruner != "none" and not config.eval.every:
            raise UserError("pruning needs evaluations along the way", where="eval.every=0", hint="eval.every=1")


def _meant(found: Definition) -> Iterator[str]:
    """Every override that a trial may get from the definition, once."""
    yield from found.fixed
    for axis in found.axes:
        for value in [axis.range.low] if axis.range else axis.options:
            yield from axis.overrides(value)


def _corners(found: Definition) -> list[dict[str, Any]]:
    """Points of a search that show every option of every axis once, and both ends of every range."""
    sides = [[a.range.low, a.range.high] if a.range else list(a.options) for a in found.axes]
    sides = [[int(v) for v in s] if a.range and a.range.whole else s for a, s in zip(found.axes, sides, strict=True)]
    longest = max(map(len, sides))
    return [{a.name: s[min(i, len(s) - 1)] for a, s in zip(found.axes, sides, strict=True)} for i in range(longest)]
