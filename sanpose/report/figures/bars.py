"""Bar charts: MPJPE per action beside the paper's row, and the hours of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sanpose.report.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Bars:
    """One colour of bars: category -> (value, sample deviation or None)."""

    label: str
    values: Mapping[str, tuple[float, float | None]]


def per_action(actions: Sequence[str], published: Bars, ours: Sequence[Bars]) -> Figure:
    """MPJPE in mm for each action: the paper's row in the colour of the text, then our rows."""
    figure = style.figure(9.4, 3.7)
    axes = figure.subplots()
    every = [published, *ours]
    width = 0.84 / len(every)
    for place, bars in enumerate(every):
        colour, alpha = (style.INK, 0.6) if place == 0 else (style.SERIES[(place - 1) % len(style.SERIES)], 1.0)
        drawn = [(i, *bars.values[action]) for i, action in enumerate(actions) if action in bars.values]
        x = [i - 0.42 + (place + 0.5) * width for i, _, _ in drawn]
        axes.bar(x, [v for _, v, _ in drawn], width * 0.88, color=colour, alpha=alpha, label=style.clipped(bars.label))
        spread = [(at, v, s) for at, (_, v, s) in zip(x, drawn, strict=True) if s is not None]
        if spread:
            at, mean, error = zip(*spread, strict=True)
            axes.errorbar(at, mean, error, fmt="none", ecolor=style.INK, elinewidth=0.8)
    axes.set_xticks(range(len(actions)), actions, rotation=35, ha="right", rotation_mode="anchor")
    axes.set(ylabel="MPJPE, mm", xlim=(-0.6, len(actions) - 0.4))
    figure.legend(loc="outside lower center", ncol=min(len(every), 6))
    return figure


def bill(rows: Sequence[tuple[str, float, float | None]]) -> Figure:
    """A pair of bars for each row: (label, wall-clock hours, accelerator-hours or None where unknown)."""
    figure = style.figure(9.4, 0.9 + 0.42 * len(rows))
    axes = figure.subplots()
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    places = range(len(rows))
    largest = max((max(wall, used or 0.0) for _, wall, used in rows), default=0.0)
    factor, unit = (1.0, "hours") if largest >= 2 else (60.0, "minutes")
    axes.barh([p - 0.19 for p in places], [wall * factor for _, wall, _ in rows], 0.34, color=style.SERIES[0],
              label=f"wall clock, {unit}")  # fmt: skip
    drawn = [(p, used) for p, (_, _, used) in zip(places, rows, strict=True) if used is not None]
    axes.barh([p + 0.19 for p, _ in drawn], [used * factor for _, used in drawn], 0.34, color=style.SERIES[4],
              label=f"accelerator-{unit}")  # fmt: skip
    for place, (_, _, used) in zip(places, rows, strict=True):
        if used is None:
            axes.text(0, place + 0.19, " accelerators unknown", va="center", fontsize=7, alpha=0.7)
    axes.set_yticks(places, [style.clipped(label) for label, _, _ in rows])
    axes.invert_yaxis()
    axes.set(xlabel=unit)
    figure.legend(loc="outside right upper")
    return figure
