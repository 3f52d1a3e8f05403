"""The claims as a picture: the paper's difference for each step, and ours with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sanpose.report.figures import style


@dataclass(frozen=True)
class Step:
    """A step of Table 1: differences of MPJPE in mm, below 0 where it helps; ours and its 95 % interval if known."""

    label: str
    published: float
    ours: float | None
    interval: tuple[float, float] | None


def forest(steps: Sequence[Step]) -> Any:
    """One line per step: a hollow diamond for the paper, a dot and a bar for ours."""
    figure = style.figure(9.4, 1.1 + 0.36 * len(steps))
    axes = figure.subplots()
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.axvline(0, color=style.INK, linewidth=0.9)
    places = range(len(steps))
    axes.plot([s.published for s in steps], places, "D", color="none", mec=style.INK, mew=1.2, ms=6, label="paper")
    known = [(place, step) for place, step in zip(places, steps, strict=True) if step.ours is not None]
    for place, step in known:
        if step.interval:
            axes.plot(step.interval, (place, place), color=style.SERIES[0], linewidth=2.4, alpha=0.55)
    axes.plot([s.ours for _, s in known], [p for p, _ in known], "o", color=style.SERIES[0], ms=6,
              label="ours, with the 95 % interval where there are seeds enough")  # fmt: skip
    axes.set_yticks(places, [style.clipped(step.label, 46) for step in steps])
    axes.invert_yaxis()
    axes.margins(y=0.12)
    axes.set(xlabel="difference of MPJPE, mm: below 0 the step helps")
    figure.legend(loc="outside upper left", ncol=2)
    return figure
