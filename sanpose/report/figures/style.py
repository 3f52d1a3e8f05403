"""The style of every picture: type, lines, colours. The colours are constants, so that a page can replace them.

Uses only matplotlib's Figure class, without global state except in `house()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Dashes = str | tuple[float, tuple[float, ...]]  # as matplotlib's linestyle
INK = "#1a1b1c"  # text and axes; a page replaces it by its own text colour
PAPER = "#fdfdfc"  # the background, for rims around lines
SERIES = ("#2f6fb3", "#c8553d", "#3b8b5a", "#8a5fb0", "#b0812a", "#2a8f9e", "#b8508f", "#6d7278")
_LINES: tuple[Dashes, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))

_RC: dict[str, object] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.facecolor": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "grid.color": INK,
    "grid.alpha": 0.13,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "sanpose",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Look:
    """The style of a line."""

    colour: str
    dashes: Dashes


@contextmanager
def house() -> Iterator[None]:
    """A context in which pictures are drawn and saved in the report's style. Text is never parsed as TeX."""
    import matplotlib

    with matplotlib.rc_context(_RC):
        yield


def figure(width: float, height: float) -> Figure:
    """An empty Figure; width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def looks(count: int) -> list[Look]:
    """Line styles, all different up to 32."""
    every = [Look(colour, dashes) for dashes in _LINES for colour in SERIES]
    return list(islice(cycle(every), count))


def clipped(text: str, length: int = 34) -> str:
    """A label on one line, cut to the length that fits a legend."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
