"""The page: our template, style sheet and script, with every text from records escaped."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sanpose.errors import UserError
from sanpose.report.figures import build, files
from sanpose.report.figures.build import Drawing
from sanpose.report.gather import Report, no_collection
from sanpose.report.page.details import details, shown_runs, when, with_curves
from sanpose.report.page.views import VERDICTS, TableView, view
from sanpose.report.selection.runs import scale_of, seed_of, state
from sanpose.runs.ledger import RunRecord
from sanpose.runs.paths import RunPaths
from sweeps.files import write_atomic

_HERE = Path(__file__).parent
_PICTURES = 24  # sample predictions in the page
_KINDS = {".png": "image/png", ".jpg": "image/jpeg"}
_LARGEST = 3_000_000  # bytes of one of them


@dataclass(frozen=True)
class Picture:
    """A figure in the page. `svg`: safe markup, empty where `drawing.missing` says why there is no picture."""

    drawing: Drawing
    svg: Markup


@dataclass(frozen=True)
class PagePhoto:
    """A sample prediction: its run, its file's name, and the picture as a data URI."""

    run: str
    name: str
    uri: str


def write(report: Report, out: Path, processes: int = 1) -> Path:
    """Write out/index.html, which needs no other file, and every picture in out/figures as SVG and PDF.

    processes: the number that may draw, as for `figures.build.drawings`.
    Each file is written whole. Returns the page's path. Raises UserError when the folder cannot be written to.
    """
    drawings = build.drawings(report, processes)
    with no_collection():
        text = render(report, drawings, datetime.now(UTC))
    try:
        out.mkdir(parents=True, exist_ok=True)
        build.write(drawings, out / "figures")
        write_atomic(out / "index.html", text)
    except OSError as error:
        raise UserError("the page cannot be written", where=out, expected="a writable folder") from error
    return out / "index.html"


def render(report: Report, drawings: Sequence[Drawing], made: datetime) -> str:
    """The page's HTML."""
    runs, left_out = shown_runs(report)
    detailed, curved = {run.id for run in runs}, with_curves(report, runs)
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    tables = {table.name: view(table, detailed) for table in report.all_tables}
    photos, photos_left = _photos(runs)
    return environment.get_template("page.html.j2").render(
        report=report,
        made=made,
        runs=runs,
        left_out=left_out,
        curves_left=len(runs) - len(curved),
        warning=_warning(report),
        verdicts=_verdicts(tables[report.claims.name]),
        first=[tables[report.claims.name], tables[report.tables[0].name]],
        others=[tables[table.name] for table in report.tables[1:]],
        sweeps=[
            (tables[table.name], tables[compared.name] if compared else None)
            for table, compared in zip(report.sweep_tables, report.compared, strict=True)
        ],
        bill=tables[report.bill.name],
        broken=tables.get("broken"),
        pictures=_pictures(drawings),
        letters={run.id: letter for letter, cell in report.cells.items() for run in (*cell.runs, *cell.others)},
        seed=seed_of,
        state=state,
        when=when,
        photos=photos,
        photos_left=photos_left,
        data=_data({**details(runs, curved), "folder": str(report.runs)}),
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _data(value: Mapping[str, object]) -> Markup:
    """JSON that is safe in a script element: no value can contain an end tag, comment or line separator."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _pictures(drawings: Sequence[Drawing]) -> dict[str, list[Picture]]:
    """Section -> its pictures."""
    pictures: dict[str, list[Picture]] = {}
    for drawing in drawings:
        svg = files.inline(drawing.svg, f"fig-{drawing.name}", str(escape(drawing.title))) if drawing.svg else ""
        pictures.setdefault(drawing.section, []).append(Picture(drawing, Markup(svg)))
    return pictures


def _photos(runs: Sequence[RunRecord]) -> tuple[list[PagePhoto], int]:
    """The runs' sample predictions, first pictures before second ones, and the number of omitted pictures."""
    ranked = [(rank, run, path) for run in runs for rank, path in enumerate(_predictions(run))]
    ranked.sort(key=lambda entry: entry[0])
    photos = list(islice((p for _, run, path in ranked if (p := _photo(run, path)) is not None), _PICTURES))
    return photos, len(ranked) - len(photos)


def _predictions(run: RunRecord) -> list[Path]:
    """A run's pictures, without folders and broken links of such names."""
    paths = sorted(RunPaths(run.folder).predictions.glob("*"))
    return [path for path in paths if path.suffix in _KINDS and os.path.isfile(path)]  # noqa: PTH113  # never raises


def _photo(run: RunRecord, path: Path) -> PagePhoto | None:
    """A picture for the page; None for a file that is too large or unreadable."""
    try:
        content = path.read_bytes() if path.stat().st_size <= _LARGEST else None
    except OSError:
        return None
    if content is None:
        return None
    return PagePhoto(run.id, path.name, f"data:{_KINDS[path.suffix]};base64,{base64.b64encode(content).decode()}")


def _warning(report: Report) -> str:
    scale = scale_of([run for cell in report.cells.values() for run in cell.runs] or report.records)
    return f"{scale[0].upper()}{scale[1:]}" if scale else ""


def _verdicts(claims: TableView) -> list[tuple[str, int]]:
    chips = [cell.chip for row in claims.rows for cell in row.cells if cell.chip in VERDICTS]
    return [(kind, chips.count(kind)) for kind in VERDICTS]
