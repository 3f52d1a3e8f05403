"""A picture before it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class FigurePlan:
    """`draw`: makes the Figure; None where there is nothing to draw, for the reason `missing`."""

    name: str
    section: str
    title: str
    caption: str
    draw: Callable[[], Figure] | None = None
    missing: str = ""
