"""How a figure was measured, and the table that shows a metric's result.

A figure cannot be compared with a published one without its subjects, joints, stride, alignment and boxes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Protocol:
    """How a figure was measured. An item that has no meaning for the metric is an empty text."""

    metric: str
    unit: str
    samples: int
    subjects: str = ""
    joints: str = ""
    stride: str = ""
    alignment: str = ""
    boxes: str = ""
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """One line: every item with its name."""
        named = [("subjects", self.subjects), ("joints", self.joints), ("stride", self.stride)]
        named += [("alignment", self.alignment), ("boxes", self.boxes)]
        parts = [f"{self.metric} [{self.unit}]", *(f"{name}: {text}" for name, text in named if text)]
        return "; ".join([*parts, f"samples: {self.samples}", *self.notes])

    def as_dict(self) -> dict[str, object]:
        """The items by name and the one-line text, ready for JSON."""
        return {**asdict(self), "notes": list(self.notes), "text": self.text()}


@dataclass(frozen=True)
class FigureTable:
    """A result as text cells; the first column holds the rows' names."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def listed(numbers: Iterable[int], prefix: str = "") -> str:
    """Sorted distinct numbers as text: "S9, S11"."""
    return ", ".join(f"{prefix}{n}" for n in sorted({int(n) for n in numbers}))


def cell(value: float | None, digits: int = 1) -> str:
    """A figure as a table's cell; "-" where there is nothing to measure."""
    return "-" if value is None else f"{value:.{digits}f}"
