"""Where a Figure becomes a file, and only here: SVG with text as text, in a page's colours where it asks, and PDF."""

from __future__ import annotations

import io
import re
from collections.abc import Set
from typing import Any

from sanpose.report.figures import font, style

_VARIABLES = {
    style.INK: "currentColor",
    style.PAPER: "var(--paper)",
    **{colour: f"var(--series-{number}, {colour})" for number, colour in enumerate(style.SERIES, 1)},
}


def place(figure: Any) -> None:
    """Find where everything stands, once: otherwise each saving draws the figure one more time to find it."""
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine(None)


def svg(figure: Any) -> str:
    """A standalone SVG document; the same figure gives the same text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def pdf(figure: Any) -> bytes:
    """A page as large as the figure, fonts embedded as TrueType."""
    import matplotlib

    font.added()
    buffer = io.BytesIO()
    with matplotlib.rc_context({"font.sans-serif": [font.FAMILY, *matplotlib.rcParams["font.sans-serif"]]}):
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Creator": None})
    return buffer.getvalue()


def inline(document: str, name: str, title: str) -> str:
    """An SVG document of ours as an element of a page: the page's colours and font, ids that begin with `name`.

    title: what the picture is, for those who can't see it; it must be escaped already.
    """
    text = document[document.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", text))
    own = re.sub(r"[^A-Za-z0-9.-]", lambda m: f"_{ord(m[0]):x}", name)  # a run's folder may be called anything
    # Only what stands in a tag is drawing; between tags stand the words and numbers that a reader reads.
    text = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0], own, used), text)
    head, rest = text.split(">", 1)
    points = float(re.search(r'width="([0-9.]+)pt"', head)[1])  # type: ignore[index]  # matplotlib writes it
    head = re.sub(r' (?:width|height|version|xmlns:xlink|xmlns)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{title}" style="--points: {points:g}">{rest}'


def _tag(tag: str, name: str, used: Set[str]) -> str:
    """One tag of an SVG document in the page's colours and font. used: the ids that something refers to."""
    tag = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag)
    tag = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", tag)
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, variable)
    tag = re.sub(r"(\d\.\d\d)\d+", r"\1", tag)  # a hundredth of a point is finer than any screen
    return re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", tag)
