"""What a sweep is made of: axes, how they are searched, and the points of a grid. Pure: from a mapping to values.

    title: What the initial value of delta buys
    fixed: [ablation=c]                      # overrides that every trial gets
    axes:
      model.delta_init: [0.0, 0.1, 1.0]      # a key of the configuration, and its values
      input:                                 # or a name, and what each option of it means
        square: [data.input_width=256, data.input_height=256]
        tall: [data.input_width=288, data.input_height=384]
      train.learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}    # a range: for a search only
    search: {sampler: tpe, trials: 20, first: [{model.delta_init: 0.0, input: square}]}    # without it: the whole grid

A text among the values is that text, whatever it holds, also for Hydra, which would read commas, quotes and equals
signs as its own; but ${key} is the value of another key, and [a, b] a list. Knows nothing of what the overrides mean.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

SAMPLERS = ("grid", "random", "tpe", "gp", "nsga2")
PRUNERS = ("none", "asha", "median")
MINIMISED = ("mpjpe_mm", "macs")
_PLAIN = re.compile(r"(?:[\w./:+%@$*?|-]+(?: +[\w./:+%@$*?|-]+)*)?|\$\{[^{}]*\}|\[.*\]", re.ASCII | re.DOTALL)

Values = dict[str, Any]


class BadSweep(ValueError):  # noqa: N818 - it names what is wrong
    """A sweep's definition that cannot be used: what, and what was expected."""


@dataclass(frozen=True)
class Range:
    """A number between low and high; on a logarithmic scale, or whole numbers only, where said."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Axis:
    """`options`: value (or name) -> the overrides that it means; empty where there is a `range`."""

    name: str
    options: Mapping[Any, tuple[str, ...]] = field(default_factory=dict)
    range: Range | None = None

    def value(self, given: Any) -> Any:
        """A value as the study keeps it. Raises BadSweep for one that the axis does not have."""
        if self.range is None:
            if given not in self.options:
                raise BadSweep(
                    f"axis '{self.name}' has no {given!r}: {', '.join(map(str, self.options))} were expected"
                )
            return given
        number = _number(self.name, given)
        if not self.range.low <= number <= self.range.high:
            raise BadSweep(f"{self.name}={given}: {self.range.low} to {self.range.high} was expected")
        return int(number) if self.range.whole else number

    def overrides(self, value: Any) -> tuple[str, ...]:
        """Raises BadSweep for a value that the axis does not have."""
        value = self.value(value)
        if self.range:
            return (f"{self.name}={value}",)
        return self.options[value]


@dataclass(frozen=True)
class Search:
    """How the axes are searched. `trials`: points to try. `first`: points to try before the sampler's own. `grace`: the
    first epoch at which a trial may be pruned; `reduction`: ASHA keeps one in so many. `storage`: an RDB URL, or empty
    for a journal file in the sweep's folder."""

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
    title: str
    fixed: tuple[str, ...]
    axes: tuple[Axis, ...]
    search: Search

    def overrides(self, values: Values) -> list[str]:
        """The overrides of a point. Raises BadSweep when it does not name exactly the axes."""
        names = [axis.name for axis in self.axes]
        if set(values) != set(names):
            raise BadSweep(f"a point names {', '.join(values)}: a value for each of {', '.join(names)} was expected")
        return [*self.fixed, *(o for axis in self.axes for o in axis.overrides(values[axis.name]))]

    def first(self) -> list[Values]:
        """The points that a search tries before its own, with values as the study keeps them."""
        return [{axis.name: axis.value(point[axis.name]) for axis in self.axes} for point in self.search.first]

    @property
    def size(self) -> int:
        """How many points it has."""
        grid = self.search.sampler == "grid"
        return math.prod(len(axis.options) for axis in self.axes) if grid else self.search.trials

    def grid(self) -> list[Values]:
        """Every combination, the last axis changing fastest."""
        names = [axis.name for axis in self.axes]
        return [
            dict(zip(names, point, strict=True)) for point in itertools.product(*(axis.options for axis in self.axes))
        ]


def directions(objectives: Sequence[str]) -> list[str]:
    """ "minimize" or "maximize" for each figure."""
    return ["minimize" if name in MINIMISED else "maximize" for name in objectives]


def label(values: Values) -> str:
    """A point for people: "delta_init 0.1, input tall"."""
    return ", ".join(f"{name.rpartition('.')[2]} {_said(value)}" for name, value in values.items())


def read(raw: Any, changes: Mapping[str, Any] | None = None) -> Definition:
    """A definition from a YAML file's content, and changes of its `search` by key. Raises BadSweep."""
    if not isinstance(raw, Mapping):
        raise BadSweep("the file must hold title, axes and, if wanted, fixed and search")
    unknown = set(raw) - {"title", "fixed", "axes", "search"}
    if unknown:
        raise BadSweep(f"unknown key '{sorted(unknown)[0]}': title, fixed, axes and search were expected")
    axes = raw.get("axes")
    if not isinstance(axes, Mapping) or not axes:
        raise BadSweep("axes is empty: at least one axis with its values was expected")
    found = tuple(_axis(str(name), content) for name, content in axes.items())
    search = _search({**(raw.get("search") or {}), **(changes or {})})
    definition = Definition(str(raw.get("title", "")), _texts("fixed", raw.get("fixed", ())), found, search)
    _check(definition)
    return definition


def _axis(name: str, content: Any) -> Axis:
    if isinstance(content, Mapping) and {"low", "high"} <= set(content):
        return Axis(name, range=_range(name, content))
    if isinstance(content, Mapping) and content:
        return Axis(name, {option: _texts(f"{name}.{option}", given) for option, given in content.items()})
    if isinstance(content, Sequence) and not isinstance(content, str) and content:
        if not all(value is None or isinstance(value, str | int | float) for value in content):
            raise BadSweep(f"axis '{name}': numbers, words or true and false were expected in the list")
        options = {value: (f"{name}={_override(value)}",) for value in content}
        if len(options) < len(content):
            raise BadSweep(f"axis '{name}' names a value twice: {', '.join(map(_yaml, content))}")
        return Axis(name, options)
    raise BadSweep(f"axis '{name}': a list of values, named options, or low and high were expected")


def _range(name: str, content: Mapping[str, Any]) -> Range:
    unknown = set(content) - {"low", "high", "log", "whole"}
    if unknown:
        raise BadSweep(f"axis '{name}' has the unknown key '{sorted(unknown)[0]}': low, high, log, whole were expected")
    low, high = (_number(f"{name}.{end}", content[end]) for end in ("low", "high"))
    log = bool(content.get("log", False))
    if not low < high or (log and low <= 0):
        raise BadSweep(f"axis '{name}' goes from {low} to {high}: low below high was expected, and above 0 with log")
    return Range(low, high, log, bool(content.get("whole", False)))


def _number(where: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise BadSweep(f"{where} is {value!r}: a number was expected") from error


def _search(raw: Mapping[str, Any]) -> Search:
    kinds = {f.name: f.default for f in fields(Search)}
    search = Search()
    for key, value in raw.items():
        if key not in kinds:
            raise BadSweep(f"unknown key 'search.{key}': {', '.join(kinds)} were expected")
        if isinstance(kinds[key], tuple):
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise BadSweep(f"search.{key} is {value!r}: a list was expected")
            value = tuple(value)
        elif type(value) is not type(kinds[key]):
            raise BadSweep(f"search.{key} is {value!r}: {type(kinds[key]).__name__} was expected")
        search = replace(search, **{key: value})
    return search


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
        raise BadSweep("pruning looks at mpjpe_mm along the way: search.objectives=[mpjpe_mm] was expected")
    if len(search.objectives) > 1 and search.sampler == "gp":
        raise BadSweep("sampler gp searches for one objective: search.sampler=nsga2 was expected")
    for point in search.first:
        if not isinstance(point, Mapping):
            raise BadSweep(f"search.first holds {point!r}: points with a value for every axis were expected")
        definition.overrides(dict(point))


def _texts(where: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise BadSweep(f"{where} is {value!r}: a list of overrides, [key=value, ...], was expected")
    return tuple(str(v) for v in value)


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _override(value: Any) -> str:
    """A value as Hydra reads it: a text that its grammar has no room for in quotes, with a backslash before each quote
    in it, and backslashes doubled that stand before one."""
    text = _yaml(value)
    if not isinstance(value, str) or _PLAIN.fullmatch(text):
        return text
    inside = re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{inside}'"


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else _yaml(value)
