"""The claims of a grid: pairs of its points that are compared seed by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sanpose.claims.steps import STEPS
from sweeps.definition import Values, label

CELLS = "ablation"  # the axis whose options are the cells of Table 1


@dataclass(frozen=True)
class Claim:
    """Two points of a grid: does `end` have another figure than `start`? `choice`: what the difference is, for people;
    "" where the points say it."""

    start: Values
    end: Values
    choice: str = ""

    @property
    def step(self) -> str:
        """The claim for people: "a → b", or "delta_init 0 → delta_init 0.1"."""
        if self.choice and len(self.start) == 1:
            return f"{self.start[CELLS]} → {self.end[CELLS]}"
        return f"{label(self.start)} → {label(self.end)}"

    @property
    def points(self) -> tuple[Values, Values]:
        return self.start, self.end


def claims_of(points: Sequence[Values]) -> tuple[Claim, ...]:
    """The claims of a grid's points. With cells of Table 1: its steps between cells of the grid, for every combination
    of the other axes. Without: every point against the first point."""
    if not points:
        return ()
    if CELLS not in points[0]:
        return tuple(Claim(points[0], point) for point in points[1:])
    by_key = {key_of(point): point for point in points}
    claims = []
    for start, end, choice in STEPS:
        for point in (p for p in points if p[CELLS] == start):
            later = by_key.get(key_of({**point, CELLS: end}))
            if later is not None:
                claims.append(Claim(point, later, choice))
    return tuple(claims)


def key_of(point: Mapping[str, object]) -> str:
    """Equal for equal points, also after a study has stored them."""
    return json.dumps({name: str(value) for name, value in point.items()}, sort_keys=True)
