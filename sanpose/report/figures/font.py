"""A copy of DejaVu Sans with only the letters that pictures are likely to need.

A PDF embeds the letters that it uses. Selecting them from the whole of DejaVu Sans takes longer than drawing a picture;
selecting them from this copy is fast. Letters that the copy lacks come from DejaVu Sans itself.
"""

from __future__ import annotations

import functools
import logging
import tempfile
from pathlib import Path

FAMILY = "Sanpose Figures"
# Latin, Greek, punctuation, raised and lowered digits, arrows, mathematical signs: first and last of each range.
_LETTERS = ((0x20, 0x7E), (0xA0, 0x17F), (0x370, 0x3FF), (0x2010, 0x2027), (0x2070, 0x209C), (0x2190, 0x21FF),
            (0x2200, 0x226F))  # fmt: skip


@functools.cache
def added() -> tempfile.TemporaryDirectory[str]:
    """Register FAMILY with matplotlib, once per process. Returns the folder of the font file, which must not be
    deleted."""
    from fontTools import subset  # type: ignore[import-untyped]
    from matplotlib import font_manager

    logging.getLogger("fontTools.subset").setLevel(logging.ERROR)  # it warns about tables that a font does not need
    options = subset.Options(layout_features=[], legacy_kern=True, name_IDs=[1, 2, 4, 6], notdef_outline=True)
    font = subset.load_font(font_manager.findfont("DejaVu Sans"), options)
    letters = subset.Subsetter(options)
    letters.populate(unicodes=[code for first, last in _LETTERS for code in range(first, last + 1)])
    letters.subset(font)
    for entry in list(font["name"].names):
        if entry.nameID in (1, 4, 6):  # family, full name, PostScript name, which must not have spaces
            text = FAMILY.replace(" ", "") if entry.nameID == 6 else FAMILY
            font["name"].setName(text, entry.nameID, entry.platformID, entry.platEncID, entry.langID)
    folder = tempfile.TemporaryDirectory(prefix="sanpose-font-")
    path = Path(folder.name) / "figures.ttf"
    font.save(path)
    font_manager.fontManager.addfont(path)
    return folder
