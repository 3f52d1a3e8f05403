"""What a picture will be, before it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FigurePlan:
    """`draw`: makes the Figure; None where there is nothing to draw, and then `missing` says why."""

    name: str
    section: str
    title: str
    caption: str
    draw: Callable[[], Any] | None = None
    missing: str = ""
