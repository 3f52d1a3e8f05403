"""A Figure as SVG and PDF. Text in the SVG stays text; `inline` puts an SVG into a page, in the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Set
from typing import TYPE_CHECKING

from sanpose.report.figures import font, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VARIABLES = {
    style.INK: "currentColor",
    style.PAPER: "var(--paper)",
    **{colour: f"var(--series-{number}, {colour})" for number, colour in enumerate(style.SERIES, 1)},
}


def fix_layout(figure: Figure) -> None:
    """Compute the layout once: otherwise every savefig draws the figure one more time for it."""
    engine = figure.get_layout_engine()
    assert engine, "style.figure sets one"
    engine.execute(figure)
    figure.set_layout_engine(None)


def svg(figure: Figure) -> str:
    """A standalone SVG document; the same figure gives the same text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def pdf(figure: Figure) -> bytes:
    """A page of the figure's size, with fonts embedded as TrueType."""
    import matplotlib

    font.added()
    buffer = io.BytesIO()
    with matplotlib.rc_context({"font.sans-serif": [font.FAMILY, *matplotlib.rcParams["font.sans-serif"]]}):
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Creator": None})
    return buffer.getvalue()


def inline(document: str, name: str, title: str) -> str:
    """An SVG document from `svg` as an element of a page: in the page's colours and font, with ids that begin with
    `name`.

    title: an escaped title of the picture, for screen readers.
    """
    text = document[document.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", text))
    own = re.sub(
        r"[^A-Za-z0-9.-]", lambda m: f"_{ord(m[0]):x}", name
    )  # the name of a run's folder can hold any character
    # Tags hold the drawing; the text between tags is for readers and stays as it is.
    text = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0], own, used), text)
    head, body = text.split(">", 1)
    points = float(re.search(r'width="([0-9.]+)pt"', head)[1])  # type: ignore[index]  # matplotlib writes it
    head = re.sub(r' (?:width|height|version|xmlns:xlink|xmlns)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{title}" style="--points: {points:g}">{body}'


def _tag(tag: str, name: str, used: Set[str]) -> str:
    """One tag of an SVG document in the page's colours and font. used: the ids that other elements refer to."""
    tag = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag)
    tag = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", tag)
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, variable)
    tag = re.sub(r"(\d\.\d\d)\d+", r"\1", tag)  # no screen shows less than a hundredth of a point
    return re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", tag)
