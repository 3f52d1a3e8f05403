"""Pictures of sweeps: an objective against a swept key, all keys side by side, their importance, the Pareto front."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sanpose.report.figures import style
from sanpose.runs.facts import is_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = 30  # along an axis
_POINTS = 20  # in a picture of the front with a label at every point
_SHORT = 22  # characters of a label that fit beside a point


@dataclass(frozen=True)
class Measured:
    """A point of a sweep with its figure: mean and sample deviation over seeds (None for one seed)."""

    label: str
    values: Mapping[str, object]
    mean: float
    spread: float | None = None


@dataclass(frozen=True)
class Compute:
    """A network's true multiply-accumulates for one image, 10^9, and its MPJPE in mm. `series`: the name of its
    group."""

    label: str
    series: str
    gmacs: float
    mpjpe: float
    spread: float | None = None


def against(points: Sequence[Measured], key: str, objective: str) -> Figure:
    """The objective against one key: on a numeric axis, or side by side where not all values are numbers.

    A line joins the means over the points of the same value; with one swept key those are the points themselves.
    """
    figure = style.figure(9.4, 3.3)
    axes = figure.subplots()
    x, ticks = _places([point.values.get(key) for point in points])
    mean = [point.mean for point in points]
    means: dict[float, list[float]] = {}
    for place, value in sorted(zip(x, mean, strict=True)):
        means.setdefault(place, []).append(value)
    joined = [statistics.fmean(values) for values in means.values()]
    axes.plot(list(means), joined, color=style.SERIES[0], alpha=1 if len(means) == len(points) else 0.4)
    axes.plot(x, mean, "o", color=style.SERIES[0], ms=6, mec=style.PAPER, mew=0.8, zorder=3)
    spread = [(place, p.mean, p.spread) for place, p in zip(x, points, strict=True) if p.spread is not None]
    if spread:
        at, centres, errors = zip(*spread, strict=True)
        axes.errorbar(at, centres, errors, fmt="none", ecolor=style.SERIES[0], elinewidth=1.2, capsize=3)
    if ticks is not None:
        named = range(0, len(ticks), _step(ticks))
        names = [style.clipped(ticks[place], 22) for place in named]
        axes.set_xticks(named, names, rotation=20 if len(ticks) > 4 else 0)
        axes.margins(x=0.12)
    axes.set(xlabel=style.clipped(key, 60), ylabel=objective)
    return figure


def parallel(points: Sequence[Measured], keys: Sequence[str], objective: str, *, low_is_best: bool = True) -> Figure:
    """Parallel coordinates: a vertical axis for each swept key and, last, the objective; the best tenth in colour."""
    from matplotlib.collections import LineCollection

    figure = style.figure(9.4, 3.9)
    axes = figure.subplots()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    goal = [point.mean for point in points]
    columns = [_places([point.values.get(key) for point in points]) for key in keys] + [(goal, None)]
    heights = [_column(axes, place, x, ticks) for place, (x, ticks) in enumerate(columns)]
    order = sorted(range(len(points)), key=lambda i: goal[i], reverse=not low_is_best)
    best = -(-len(points) // 10)
    lines = [list(enumerate(h[i] for h in heights)) for i in order]
    axes.add_collection(LineCollection(lines[best:], colors=style.INK, linewidths=0.9, alpha=0.3))
    axes.add_collection(LineCollection(lines[:best], colors=style.SERIES[0], linewidths=2.2))
    names = [style.clipped(name, 24) for name in (*keys, objective)]
    axes.set_xticks(range(len(columns)), names)
    axes.set(yticks=[], xlim=(-0.25, len(columns) - 0.55), ylim=(-0.06, 1.08))
    axes.tick_params(length=0)
    return figure


def importance(shares: Mapping[str, float]) -> Figure:
    """The share (of 1) of the objective's variation that each key explains."""
    figure = style.figure(9.4, 0.9 + 0.36 * len(shares))
    axes = figure.subplots()
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    order = sorted(shares.items(), key=lambda pair: pair[1], reverse=True)
    axes.barh(range(len(order)), [value for _, value in order], 0.6, color=style.SERIES[2])
    for place, (_, value) in enumerate(order):
        axes.text(value, place, f" {value:.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(order)), [style.clipped(name, 40) for name, _ in order])
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set(xlabel="importance (PED-ANOVA), shares of 1")
    return figure


def pareto(points: Sequence[Compute]) -> Figure:
    """MPJPE against multiply-accumulates, with the Pareto front as a line of steps."""
    figure = style.figure(9.4, 3.7)
    axes = figure.subplots()
    for place, series in enumerate(dict.fromkeys(point.series for point in points)):
        own = [point for point in points if point.series == series]
        colour = style.SERIES[place % len(style.SERIES)]
        x, y = [p.gmacs for p in own], [p.mpjpe for p in own]
        axes.errorbar(x, y, [p.spread or 0.0 for p in own], fmt="o", ms=6, color=colour, mec=style.PAPER, elinewidth=1,
                      label=style.clipped(series))  # fmt: skip
    best = _front(points)
    ends = [*[p.gmacs for p in best], max(p.gmacs for p in points)], [*[p.mpjpe for p in best], best[-1].mpjpe]
    axes.step(
        *ends, where="post", color=style.INK, linewidth=1, linestyle=(0, (4, 2)), alpha=0.7, label="front", zorder=1
    )
    named = points if len(points) <= _POINTS else best
    numbered = any(len(point.label) > _SHORT for point in named)
    for number, point in enumerate(named, 1):
        axes.annotate(str(number) if numbered else point.label, (point.gmacs, point.mpjpe), (6, 5),
                      textcoords="offset points", fontsize=7.5)  # fmt: skip
    axes.margins(x=0.08, y=0.12)
    axes.set(xlabel="true multiply-accumulates for one image, 10⁹", ylabel="MPJPE, mm")
    figure.legend(loc="outside right upper")
    if numbered:
        _key(figure, [f"{number}: {point.label}" for number, point in enumerate(named, 1)])
    return figure


def _key(figure: Figure, lines: Sequence[str]) -> None:
    """The key to the numbers in a picture, below it."""
    from matplotlib.lines import Line2D

    columns = 2 if max(map(len, lines)) <= 60 else 1
    figure.set_figheight(figure.get_figheight() + 0.18 * -(-len(lines) // columns))
    figure.legend([Line2D([], [], linestyle="none") for _ in lines], [style.clipped(line, 120) for line in lines],
                  loc="outside lower left", ncol=columns, handlelength=0, handletextpad=0)  # fmt: skip


def _front(points: Sequence[Compute]) -> list[Compute]:
    best: list[Compute] = []
    for point in sorted(points, key=lambda p: (p.gmacs, p.mpjpe)):
        if not best or point.mpjpe < best[-1].mpjpe:
            best.append(point)
    return best


def _places(values: Sequence[object]) -> tuple[list[float], list[str] | None]:
    """The positions of values on an axis, and the axis' names where not all values are numbers."""
    numbers = [float(v) for v in values if is_number(v)]
    if len(numbers) == len(values):
        return numbers, None
    texts = [v if isinstance(v, str) else json.dumps(v, sort_keys=True) for v in values]
    names = {text: float(place) for place, text in enumerate(dict.fromkeys(texts))}
    return [names[text] for text in texts], list(names)


def _step(names: Sequence[str]) -> int:
    """The step between the names that an axis has room for."""
    return -(-len(names) // _NAMES)


def _ends(low: float, high: float) -> tuple[str, str]:
    """Two numbers with four digits, or with as many digits as make them different."""
    pairs = [(f"{low:.{digits}g}", f"{high:.{digits}g}") for digits in range(4, 18)]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])


def _column(axes: Axes, place: int, values: Sequence[float], names: list[str] | None) -> list[float]:
    """Draw one vertical axis with the labels of its ends, or its names; returns the heights of the values, 0 to 1."""
    low, high = (min(values), max(values)) if names is None else (0.0, float(len(names) - 1))
    span = high - low or 1.0
    axes.axvline(place, 0.05, 0.94, color=style.INK, linewidth=0.8, alpha=0.6)
    if names is None:
        marks = dict(zip((low, high), _ends(low, high), strict=True))
    else:
        marks = {float(i): names[i] for i in range(0, len(names), _step(names))}
    for value, text in marks.items():
        axes.annotate(style.clipped(text, 18), (place, (value - low) / span), (5, 3), textcoords="offset points",
                      fontsize=7.5)  # fmt: skip
    return [(value - low) / span for value in values]
