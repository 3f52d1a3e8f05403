"""A requested sweep: a shipped definition or a file, a number of seeds, and overrides. Checked before the start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import yaml

from cluster import yaml_text
from sanpose.claims.auto import KEYS as AUTO_KEYS
from sanpose.claims.auto import AutoSeeds, from_arguments
from sanpose.claims.claim import claims_of
from sanpose.claims.steps import STEPS
from sanpose.config.arguments import last_value, split
from sanpose.config.compose import compose, configs_dir
from sanpose.config.schema import NUISANCE, PATHS, Config
from sanpose.config.typed import check_keys
from sanpose.errors import UserError, nearest
from sanpose.statistics import FIRST_LOOK
from sweeps import definition
from sweeps.definition import BadSweep, Definition
from sweeps.record import MOST_SEEDS, MOST_TRIALS, SweepHead
from sweeps.secrecy import masked

_CHECKED = 100  # a grid with at most so many points is composed whole before the start
OBJECTIVES = {"mpjpe_mm": "h36m", "pckh": "mpii", "ap": "coco", "macs": None}  # with the set that each one needs


@dataclass(frozen=True)
class Checked:
    """The points that are composed before a sweep starts. `configs`: the configurations of the possible points, with
    the first seed. `refused`: the impossible points, with the error of each."""

    configs: tuple[Config, ...]
    refused: tuple[tuple[definition.Values, UserError], ...]


@dataclass(frozen=True)
class Sweep:
    """A definition, the number of seeds of every point and the first of these seeds, and overrides of every trial.
    `auto`: with seeds=auto, when a point gets more seeds than that; else None."""

    name: str
    definition: Definition
    seeds: int
    overrides: tuple[str, ...]
    first_seed: int = 0
    auto: AutoSeeds | None = None

    def config(self, values: Mapping[str, object], seed: int) -> Config:
        """The configuration of one trial. Raises UserError as `config.compose` does."""
        return compose([*self.overrides, *self.definition.overrides(dict(values)), f"train.seed={seed}"])

    @cached_property
    def checked(self) -> Checked:
        """All points of a grid; for a large grid and for a search, enough points to have every option."""
        grid = self.definition.grid() if self.definition.search.sampler == "grid" else []
        configs, refused = [], []
        for values in grid if 0 < len(grid) <= _CHECKED else _corners(self.definition):
            try:
                configs.append(self.config(values, self.first_seed))
            except UserError as error:
                refused.append((values, error))
        return Checked(tuple(configs), tuple(refused))

    @property
    def warning(self) -> str | None:
        """One line about the impossible points among the checked points, or None."""
        configs, refused = self.checked.configs, self.checked.refused
        if not refused:
            return None
        values, error = refused[0]
        count = f"{len(refused)} of {len(configs) + len(refused)} checked points cannot be run"
        return f"{count}; their trials are recorded as failed. The first, {definition.label(values)}: {error.what}"

    @property
    def seed_range(self) -> range:
        """The seeds of every point."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def usable_seeds(self) -> range:
        """The seeds that a point may get."""
        return range(self.first_seed, self.first_seed + (self.auto.max_seeds if self.auto else self.seeds))

    @property
    def runs(self) -> Path:
        return Path(last_value(self.overrides, "runs") or "runs")

    def head(self) -> SweepHead:
        """The definition of the sweep, for its record. All starts of a sweep must have the same definition."""
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
            **({"first_seed": self.first_seed} if self.first_seed else {}),
            **({"auto": self.auto.definition()} if self.auto else {}),
        }


# Keys that do not change a run. A preset sets more than its name, and a file counts by its content.
_IDLE = {key for key in NUISANCE if key not in ("preset", "cell") and not key.endswith(".file")}
_COMMON = {"runs", "train.workers", "train.threads", "train.accelerator"}  # the same for all trials
_NUISANCE = tuple(f"{key}=" for key in NUISANCE if key not in ("preset", "cell"))


def _axis_values(axis: definition.Axis) -> dict[str, float] | list[object]:
    return asdict(axis.range) if axis.range else list(axis.options)


def _means(axis: definition.Axis) -> dict[str, list[str]]:
    return {str(option): list(overrides) for option, overrides in axis.options.items()}


def _search(search: definition.Search) -> dict[str, object]:
    """The settings that define a search, without its length and without the password of its database."""
    names = ("sampler", "pruner", "grace", "reduction", "seed")
    return {name: getattr(search, name) for name in names} | {"storage": masked(search.storage)}


def _as_name(stem: str) -> str:
    """A file's name as a folder's name: runs of other characters become "-"."""
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "sweep"


def read(arguments: Sequence[str]) -> Sweep:
    """Read a sweep from arguments: `sweep=NAME seeds=N first_seed=N name=TEXT search.KEY=VALUE`, and overrides of every
    trial. With seeds=auto also `max_seeds`, `alpha`, `power` and `hours`.

    `sweep` is a name in configs/sweep/ or a YAML file. Raises UserError for anything that cannot be used.
    """
    values, others = split(arguments, "sweep", "seeds", "first_seed", "name", *AUTO_KEYS)
    overrides = tuple(o for o in others if not _sets_search(o))
    path = _file(values.get("sweep", ""))
    try:
        changes = {o[7:].partition("=")[0]: yaml_text.load(o.partition("=")[2]) for o in others if _sets_search(o)}
        defined = definition.read(yaml_text.load(path.read_text("utf-8-sig")), changes, verbatim=PATHS)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, BadSweep) as error:
        raise UserError(f"this sweep cannot be used: {error}", where=path) from error
    seeds, auto = _seeds(values)
    most = defined.size * (auto.max_seeds if auto else seeds)
    if most > MOST_TRIALS:
        raise UserError(f"the sweep has {most:,} trials", expected=f"at most {MOST_TRIALS:,}", where=path)
    first = values.get("first_seed", "0")
    if not first.isdecimal() or len(first) > 9:
        raise UserError(f"first_seed={first} is not a seed", expected="0, 1, 2, ... 999,999,999")
    name = values.get("name") or f"{_as_name(path.stem)}-{last_value(overrides, 'preset') or 'paper'}"
    if int(first) and "name" not in values:
        name += f"-from-seed-{int(first)}"
    if auto and "name" not in values:
        name += "-auto"
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
        raise UserError(f"name={name} cannot name a folder", expected="letters, digits, - and _")
    sweep = Sweep(name, defined, seeds, overrides, int(first), auto)
    _refuse_overruled(sweep)
    _refuse_idle(sweep.definition)
    if auto:
        _refuse_undecidable(defined, path)
    _check(sweep)
    return sweep


def _seeds(values: Mapping[str, str]) -> tuple[int, AutoSeeds | None]:
    """The number of seeds that every point gets, and the rules for more of them."""
    seeds = values.get("seeds", "1")
    if seeds == "auto":
        return FIRST_LOOK, from_arguments(values)
    idle = next((key for key in AUTO_KEYS if key in values), None)
    if idle:
        raise UserError(f"{idle}={values[idle]} has no effect without seeds=auto", hint="seeds=auto")
    if not seeds.isdecimal() or len(seeds) > 9 or not 1 <= int(seeds) <= MOST_SEEDS:
        raise UserError(f"seeds={seeds} is not a number of seeds", expected=f"1, 2, ... {MOST_SEEDS:,}, or auto")
    return int(seeds), None


def _refuse_undecidable(defined: Definition, path: Path) -> None:
    """Refuse seeds=auto where there is nothing to decide."""
    if defined.search.sampler != "grid":
        raise UserError(
            f"seeds=auto compares the points of a grid, but search.sampler={defined.search.sampler} draws its points",
            where=path,
            expected="a sweep with search.sampler=grid",
            hint="seeds=3",
        )
    if defined.search.pruner != "none":
        raise UserError(
            f"seeds=auto needs finished runs, but search.pruner={defined.search.pruner} stops some early",
            where=path,
            expected="search.pruner=none",
        )
    points = defined.grid()
    if len(points) == 1:
        raise UserError(
            f"seeds=auto compares points, but the sweep has one, {definition.label(points[0])}",
            where=path,
            expected="an axis with two or more options",
            hint="seeds=3",
        )
    if not claims_of(points):
        raise UserError(
            "seeds=auto has nothing to decide: no step of Table 1 has both of its cells in this sweep",
            where=path,
            expected="both cells of a step: " + ", ".join(f"{start} and {end}" for start, end, _ in STEPS),
        )


def _sets_search(argument: str) -> bool:
    return argument.startswith("search.") and "=" in argument


def _file(name: str) -> Path:
    folder = configs_dir() / "sweep"
    shipped = sorted(p.stem for p in folder.glob("*.yaml"))
    if name in shipped:
        return folder / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    raise UserError(
        f"sweep={name}: there is no such sweep" if name else "no sweep is named",
        expected=f"{', '.join(shipped)}, or a YAML file",
        hint=nearest(name, shipped) or "sweep=table1",
    )


def _refuse_overruled(sweep: Sweep) -> None:
    """Refuse overrides that would have no effect, because the sweep sets the same keys."""
    defined = sweep.definition
    axis_overrides = [o for axis in defined.axes for overrides in axis.options.values() for o in overrides]
    own = {o.partition("=")[0] for o in (*defined.fixed, *axis_overrides)} | {axis.name for axis in defined.axes}
    if "train.seed" in own:
        raise UserError("a sweep sets train.seed itself", expected="an axis or override of another key", hint="seeds=N")
    for override in sweep.overrides:
        key = override.partition("=")[0]
        if key == "train.seed" or key in own:
            hint = "seeds=N" if key == "train.seed" else "copy the YAML file, and make your own sweep"
            raise UserError(
                f"the sweep sets '{key}' itself, so '{override}' has no effect",
                expected="overrides of other keys",
                hint=hint,
            )


def _refuse_idle(defined: Definition) -> None:
    """Refuse axes that vary a setting that all trials share, or only settings that do not define a run."""
    for axis in defined.axes:
        options = [axis.overrides(value) for value in ([axis.range.low] if axis.range else axis.options)]
        keys = {override.partition("=")[0] for overrides in options for override in overrides}
        wrong = sorted(keys & _COMMON) or sorted(keys if keys and keys <= _IDLE else ())
        if wrong:
            raise UserError(
                f"an axis cannot vary {', '.join(wrong)}: "
                + ("all trials share one value" if keys & _COMMON else "all its options would be the same run"),
                expected="an axis of settings that define a run",
                hint=f"{wrong[0]}=... as an override of the sweep",
            )


def _check(sweep: Sweep) -> None:
    """Refuse a sweep without a possible point, and misspelt keys in any override, before the start."""
    check_keys([*sweep.overrides, *_all_overrides(sweep.definition)], configs_dir(), Config)
    if not sweep.checked.configs:
        raise sweep.checked.refused[0][1]
    for config in sweep.checked.configs:
        for name in sweep.definition.search.objectives:
            if name not in OBJECTIVES:
                raise UserError(
                    f"'{name}' is not an objective", expected=", ".join(OBJECTIVES), hint=nearest(name, OBJECTIVES)
                )
            if OBJECTIVES[name] not in (None, *config.eval.sets):
                raise UserError(
                    f"the objective {name} needs {OBJECTIVES[name]}, which eval.sets leaves out",
                    where=f"eval.sets=[{', '.join(config.eval.sets)}]",
                    hint=f"eval.sets=[{', '.join((*config.eval.sets, str(OBJECTIVES[name])))}]",
                )
        if sweep.definition.search.pruner != "none" and not config.eval.every:
            raise UserError("pruning needs evaluations during the training", where="eval.every=0", hint="eval.every=1")


def _all_overrides(defined: Definition) -> Iterator[str]:
    """Every override that a trial may get from the definition, once."""
    yield from defined.fixed
    for axis in defined.axes:
        for value in [axis.range.low] if axis.range else axis.options:
            yield from axis.overrides(value)


def _corners(defined: Definition) -> list[definition.Values]:
    """Points of a search with every option of every axis, and both ends of every range."""
    sides = [[a.value(a.range.low), a.value(a.range.high)] if a.range else list(a.options) for a in defined.axes]
    longest = max(map(len, sides))
    return [{a.name: s[min(i, len(s) - 1)] for a, s in zip(defined.axes, sides, strict=True)} for i in range(longest)]
