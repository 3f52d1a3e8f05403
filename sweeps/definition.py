"""The definition of a sweep: its axes, how they are searched, and the points of a grid. Pure: from a mapping to values.

    title: What the initial value of delta buys
    fixed: [ablation=c]                      # overrides of every trial
    axes:
      model.delta_init: [0.0, 0.1, 1.0]      # a key of the configuration, and its values
      input:                                 # or a name, and the overrides of each of its options
        square: [data.input_width=256, data.input_height=256]
        tall: [data.input_width=288, data.input_height=384]
      train.learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}    # a range: for a search only
    search: {sampler: tpe, trials: 20, first: [{model.delta_init: 0.0, input: square}]}    # without search: the grid

Hydra gets a text value unchanged: commas, quotes and equals signs in a text are quoted for Hydra's grammar. But ${key}
is the value of another key, and [a, b] is a list. Does not know what the overrides mean.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Literal

SAMPLERS = ("grid", "random", "tpe", "gp", "nsga2")
PRUNERS = ("none", "asha", "median")
MINIMISED = ("mpjpe_mm", "macs")
_PLAIN = re.compile(r"(?:[\w./:+%@$*?|-]+(?: +[\w./:+%@$*?|-]+)*)?|\$\{[^{}]*\}|\[.*\]", re.ASCII | re.DOTALL)

Scalar = str | int | float | bool | None
"""The value of an axis in YAML: text, a number, true, false or null."""
Values = dict[str, object]
"""A point: the value of every axis, by the axis's name."""


class BadSweep(ValueError):  # noqa: N818 - it names what is wrong
    """A sweep's definition cannot be used. The message says what is wrong, and what was expected."""


@dataclass(frozen=True)
class Range:
    """The numbers from low to high. log: on a logarithmic scale. whole: whole numbers only."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Axis:
    """One axis. `options`: the overrides of each value or named option; empty if the axis has a `range`."""

    name: str
    options: Mapping[Scalar, tuple[str, ...]] = field(default_factory=dict)
    range: Range | None = None

    def value(self, value: object) -> Scalar:
        """A value in the form that the study stores. Raises BadSweep for a value that the axis does not have."""
        if self.range is None:
            if not isinstance(value, Scalar) or value not in self.options:
                raise BadSweep(
                    f"axis '{self.name}' has no {value!r}: {', '.join(map(str, self.options))} were expected"
                )
            return value
        number = _number(self.name, value)
        if not self.range.low <= number <= self.range.high:
            raise BadSweep(f"{self.name}={value}: {self.range.low} to {self.range.high} was expected")
        return int(number) if self.range.whole else number

    def overrides(self, value: object) -> tuple[str, ...]:
        """The overrides of a value. Raises BadSweep for a value that the axis does not have."""
        stored = self.value(value)
        return (f"{self.name}={stored}",) if self.range else self.options[stored]


@dataclass(frozen=True)
class Search:
    """How the axes are searched.

    `trials`: the number of points to try. `first`: the points to try before the points that the sampler draws. `grace`:
    the first epoch at which a trial may be pruned. `reduction`: ASHA keeps one trial in this many. `storage`: the URL
    of a database, or "" for a journal file in the sweep's folder.
    """

    sampler: str = "grid"
    trials: int = 20
    pruner: str = "none"
    objectives: tuple[str, ...] = ("mpjpe_mm",)
    first: tuple[Values, ...] = ()
    grace: int = 1
    reduction: int = 3
    seed: int = 0
    storage: str = ""


@dataclass(frozen=True)
class Definition:
    """A sweep: `fixed` are the overrides of every trial."""

    title: str
    fixed: tuple[str, ...]
    axes: tuple[Axis, ...]
    search: Search

    def overrides(self, values: Values) -> list[str]:
        """The overrides of a point. Raises BadSweep unless the point names exactly the axes."""
        names = [axis.name for axis in self.axes]
        if set(values) != set(names):
            raise BadSweep(f"a point names {', '.join(values)}: a value for each of {', '.join(names)} was expected")
        return [*self.fixed, *(o for axis in self.axes for o in axis.overrides(values[axis.name]))]

    def first(self) -> list[Values]:
        """The points that a search tries first, with values in the form that the study stores."""
        return [{axis.name: axis.value(point[axis.name]) for axis in self.axes} for point in self.search.first]

    @property
    def size(self) -> int:
        """The number of points."""
        grid = self.search.sampler == "grid"
        return math.prod(len(axis.options) for axis in self.axes) if grid else self.search.trials

    def grid(self) -> list[Values]:
        """Every combination of options. The last axis changes fastest."""
        names = [axis.name for axis in self.axes]
        return [
            dict(zip(names, point, strict=True)) for point in itertools.product(*(axis.options for axis in self.axes))
        ]


def directions(objectives: Sequence[str]) -> list[Literal["minimize", "maximize"]]:
    """Optuna's direction of each figure."""
    return ["minimize" if name in MINIMISED else "maximize" for name in objectives]


def label(values: Values) -> str:
    """A point for people: "delta_init 0.1, input tall"."""
    texts = {name: f"{value:g}" if isinstance(value, float) else _yaml(value) for name, value in values.items()}
    return ", ".join(f"{name.rpartition('.')[2]} {text}" for name, text in texts.items())


def read(raw: object, changes: Mapping[str, object] | None = None, verbatim: Collection[str] = ()) -> Definition:
    """Make a definition from the content of a YAML file. `changes` of `search`, by key, override the file. verbatim:
    keys whose texts are never quoted, as they are not Hydra's. Raises BadSweep."""
    if not isinstance(raw, Mapping):
        raise BadSweep("the file must hold title, axes and, optionally, fixed and search")
    unknown = set(raw) - {"title", "fixed", "axes", "search"}
    if unknown:
        raise BadSweep(f"unknown key '{sorted(unknown)[0]}': title, fixed, axes and search were expected")
    axes = raw.get("axes")
    if not isinstance(axes, Mapping) or not axes:
        raise BadSweep("axes is empty: at least one axis with its values was expected")
    search = raw.get("search") or {}
    if not isinstance(search, Mapping):
        raise BadSweep(f"search is {search!r}: sampler, trials or other keys with their values were expected")
    definition = Definition(
        str(raw.get("title", "")),
        _texts("fixed", raw.get("fixed", ())),
        tuple(_axis(str(name), content, verbatim) for name, content in axes.items()),
        _search({**search, **(changes or {})}),
    )
    _check(definition)
    return definition


def _axis(name: str, content: object, verbatim: Collection[str]) -> Axis:
    if isinstance(content, Mapping) and {"low", "high"} <= set(content):
        return Axis(name, range=_range(name, content))
    if isinstance(content, str) or not isinstance(content, Mapping | Sequence) or not content:
        raise BadSweep(f"axis '{name}': a list of values, named options, or low and high were expected")
    if not all(isinstance(value, Scalar) for value in content):
        raise BadSweep(f"axis '{name}': numbers, words or true and false were expected in the list")
    if isinstance(content, Mapping):
        return Axis(name, {option: _texts(f"{name}.{option}", texts) for option, texts in content.items()})
    written = _yaml if name in verbatim else _override
    options = {value: (f"{name}={written(value)}",) for value in content}
    if len(options) < len(content):
        raise BadSweep(f"axis '{name}' names a value twice: {', '.join(map(_yaml, content))}")
    return Axis(name, options)


def _range(name: str, content: Mapping[str, object]) -> Range:
    unknown = set(content) - {"low", "high", "log", "whole"}
    if unknown:
        raise BadSweep(f"axis '{name}' has the unknown key '{sorted(unknown)[0]}': low, high, log, whole were expected")
    low, high = (_number(f"{name}.{end}", content[end]) for end in ("low", "high"))
    log = bool(content.get("log", False))
    if not low < high or (log and low <= 0):
        raise BadSweep(f"axis '{name}' goes from {low} to {high}: low below high was expected, and above 0 with log")
    return Range(low, high, log, bool(content.get("whole", False)))


def _number(where: str, value: object) -> float:
    if isinstance(value, str | int | float):
        with suppress(ValueError, OverflowError):
            return float(value)
    raise BadSweep(f"{where} is {value!r}: a number was expected")


def _search(raw: Mapping[str, object]) -> Search:
    defaults: dict[str, object] = {f.name: f.default for f in fields(Search)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in defaults:
            raise BadSweep(f"unknown key 'search.{key}': {', '.join(defaults)} were expected")
        if isinstance(defaults[key], tuple):
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise BadSweep(f"search.{key} is {value!r}: a list was expected")
            value = tuple(value)
        elif type(value) is not type(defaults[key]):
            raise BadSweep(f"search.{key} is {value!r}: {type(defaults[key]).__name__} was expected")
        values[key] = value
    return Search(**values)


def _check(definition: Definition) -> None:
    search = definition.search
    for name, value, allowed in (("sampler", search.sampler, SAMPLERS), ("pruner", search.pruner, PRUNERS)):
        if value not in allowed:
            raise BadSweep(f"search.{name} is {value!r}: one of {', '.join(allowed)} was expected")
    for name, number, least in (
        ("trials", search.trials, 1), ("grace", search.grace, 1), ("reduction", search.reduction, 2),
    ):  # fmt: skip
        if number < least:
            raise BadSweep(f"search.{name} is {number}: at least {least} was expected")
    ranges = [axis.name for axis in definition.axes if axis.range]
    if search.sampler == "grid" and ranges:
        raise BadSweep(f"axis '{ranges[0]}' is a range, which a grid cannot have: search.sampler=tpe was expected")
    if not search.objectives:
        raise BadSweep("search.objectives is empty: at least one figure was expected")
    if search.pruner != "none" and search.objectives != ("mpjpe_mm",):
        raise BadSweep("pruning compares mpjpe_mm during the training: search.objectives=[mpjpe_mm] was expected")
    if len(search.objectives) > 1 and search.sampler == "gp":
        raise BadSweep("sampler gp searches for one objective: search.sampler=nsga2 was expected")
    for point in search.first:
        if not isinstance(point, Mapping):
            raise BadSweep(f"search.first holds {point!r}: points with a value for every axis were expected")
        definition.overrides(dict(point))


def _texts(where: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise BadSweep(f"{where} is {value!r}: a list of overrides, [key=value, ...], was expected")
    return tuple(str(v) for v in value)


def _yaml(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _override(value: Scalar) -> str:
    """A value as Hydra reads it. A text outside Hydra's grammar is quoted: a backslash precedes each quote in the text,
    and backslashes before a quote are doubled."""
    text = _yaml(value)
    if not isinstance(value, str) or _PLAIN.fullmatch(text):
        return text
    escaped = re.sub(r"(\\*)('|\Z)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), text)
    return f"'{escaped}'"
