"""From a report to its pictures, each drawn once; what can't be drawn is named with the reason. Writes SVG and PDF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sanpose.report.figures import cells, files, style, sweeps
from sanpose.report.figures.plan import FigurePlan
from sanpose.report.gather import Report
from sweeps.files import write_atomic

Draw = Callable[[], Any]
SWEEPS = 12  # whose pictures are drawn; of the others the page says how to have them
_TOO_MANY = "those of the {} sweeps that changed last are drawn; `sanpose report --sweep {}` draws these"
_EACH = 12  # pictures for which a process is worth its start
_CHUNK = 4


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


def drawings(report: Report, processes: int = 1) -> tuple[Drawing, ...]:
    """Every picture of a report, in the order of reading. processes: how many may share the work; they start by
    importing the main module again, which must bear it."""
    plans = list(_plans(report))
    processes = min(processes, sum(plan.draw is not None for plan in plans) // _EACH)
    if processes < 2:
        return tuple(map(_drawn, plans))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return tuple(pool.map(_drawn, plans, chunksize=_CHUNK))


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


def _plans(report: Report) -> Iterator[FigurePlan]:
    yield from cells.plans(report)
    drawn = _newest(report)
    for sweep, points, table in zip(report.sweeps, report.points, report.sweep_tables, strict=True):
        if sweep.name in drawn:
            yield from sweeps.plans(sweep, points, table)
        else:
            yield FigurePlan(
                f"{table.name}-pictures", table.name, "Pictures", "", missing=_TOO_MANY.format(SWEEPS, sweep.name)
            )
    yield cells.bill(report)


def _newest(report: Report) -> set[str]:
    """The names of the SWEEPS sweeps whose records changed last."""
    changed = {
        sweep.name: max((run.changed for point in points for run in point.runs), default=0.0)
        for sweep, points in zip(report.sweeps, report.points, strict=True)
    }
    return set(sorted(changed, key=lambda name: changed[name], reverse=True)[:SWEEPS])


def _drawn(plan: FigurePlan) -> Drawing:
    make = partial(Drawing, plan.name, plan.section, plan.title, plan.caption)
    if plan.draw is None:
        return make(missing=plan.missing)
    with style.house():
        figure = plan.draw()
        files.place(figure)
        return make(svg=files.svg(figure), pdf=files.pdf(figure))
