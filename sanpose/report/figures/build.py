"""From a report to its pictures, as SVG and PDF. A picture that cannot be drawn has a reason instead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from sanpose.report.figures import cells, files, style, sweeps
from sanpose.report.figures.plan import FigurePlan
from sanpose.report.gather import Report
from sweeps.files import write_atomic

SWEEPS = 12  # sweeps whose pictures are drawn; for the others the page names the command that draws them
_TOO_MANY = "only the {} sweeps that changed last have pictures; `sanpose report --sweep {}` draws these pictures"
_EACH = 12  # pictures per process: for fewer, starting a process takes longer than it saves
_CHUNK = 4


@dataclass(frozen=True)
class Drawing:
    """A picture as text and bytes. `section`: the name of its table. `missing`: why there is no picture; `svg` and
    `pdf` are then empty."""

    name: str
    section: str
    title: str
    caption: str
    svg: str = ""
    pdf: bytes = b""
    missing: str = ""


def drawings(report: Report, processes: int = 1) -> tuple[Drawing, ...]:
    """Every picture of a report, in the order of reading. processes: the number that may share the work; each imports
    the main module again at its start."""
    plans = list(_plans(report))
    processes = min(processes, sum(plan.draw is not None for plan in plans) // _EACH)
    if processes < 2:
        return tuple(map(_drawn, plans))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return tuple(pool.map(_drawn, plans, chunksize=_CHUNK))


def write(pictures: tuple[Drawing, ...], out: Path) -> list[Path]:
    """Write each picture as <name>.svg and <name>.pdf, each file whole; returns the files. Raises OSError."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for drawing in pictures:
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
        files.fix_layout(figure)
        return make(svg=files.svg(figure), pdf=files.pdf(figure))
