"""From a report to its pictures, each drawn once; what can't be drawn is named with the reason. Writes SVG and PDF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sanpose.report.figures import cells, files, style, sweeps
from sanpose.report.figures.plan import Plan
from sanpose.report.gather import Report
from sweeps.files import write_atomic

Draw = Callable[[], Any]


@dataclass(frozen=True)
class Drawing:
    """A picture as text and bytes. `section`: the name of the table that it belongs to. `missing`: why there is no
    picture; then `svg` and `pdf` are empty."""

    name: str
    section: str
    title: str
    caption: str
    svg: str = ""
    pdf: bytes = b""
    missing: str = ""


def drawings(report: Report) -> tuple[Drawing, ...]:
    """Every picture of a report, in the order of reading."""
    with style.house():
        return tuple(_drawn(plan) for plan in _plans(report))


def write(found: tuple[Drawing, ...], out: Path) -> list[Path]:
    """Write each picture as <name>.svg and <name>.pdf, each file whole; gives the files. Raises OSError."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for drawing in found:
        for ending, content in (("svg", drawing.svg), ("pdf", drawing.pdf)):
            if content:
                path = out / f"{drawing.name}.{ending}"
                write_atomic(path, content)
                written.append(path)
    return written


def _plans(report: Report) -> Iterator[Plan]:
    yield from cells.plans(report)
    for sweep, table in zip(report.sweeps, report.sweep_tables, strict=True):
        yield from sweeps.plans(report, sweep, table)
    yield cells.bill(report)


def _drawn(plan: Plan) -> Drawing:
    make = partial(Drawing, plan.name, plan.section, plan.title, plan.caption)
    if plan.draw is None:
        return make(missing=plan.missing)
    figure = plan.draw()
    picture = files.svg(figure)
    figure.set_layout_engine("none")  # the places are found; finding them again takes as long as drawing
    return make(svg=picture, pdf=files.pdf(figure))
