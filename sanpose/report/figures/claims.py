"""The picture of the claims: for each step the paper's difference, and ours with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sanpose.report.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Step:
    """A step of Table 1: differences of MPJPE in mm, below 0 where the step helps; our interval at 95 %, if there is
    one."""

    label: str
    published: float
    ours: float | None
    interval: tuple[float, float] | None


def forest(steps: Sequence[Step]) -> Figure:
    """One line per step: a hollow diamond for the paper, a dot and a bar for ours."""
    figure = style.figure(9.4, 1.1 + 0.36 * len(steps))
    axes = figure.subplots()
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.axvline(0, color=style.INK, linewidth=0.9)
    places = range(len(steps))
    axes.plot([s.published for s in steps], places, "D", color="none", mec=style.INK, mew=1.2, ms=6, label="paper")
    for place, step in zip(places, steps, strict=True):
        if step.interval:
            axes.plot(step.interval, (place, place), color=style.SERIES[0], linewidth=2.4, alpha=0.55)
    measured = [(step.ours, place) for place, step in zip(places, steps, strict=True) if step.ours is not None]
    axes.plot([ours for ours, _ in measured], [place for _, place in measured], "o", color=style.SERIES[0], ms=6,
              label="ours, with the 95 % interval if there are enough seeds")  # fmt: skip
    axes.set_yticks(places, [style.clipped(step.label, 46) for step in steps])
    axes.invert_yaxis()
    axes.margins(y=0.12)
    axes.set(xlabel="difference of MPJPE, mm: below 0 the step helps")
    figure.legend(loc="outside upper left", ncol=2)
    return figure
