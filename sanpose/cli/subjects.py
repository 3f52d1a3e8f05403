"""The option `--subjects`: Human3.6M's subjects as numbers with commas."""

from __future__ import annotations

import re

from sanpose.errors import UserError


def parse_subjects(text: str) -> tuple[int, ...]:
    """The subjects of a text such as "9,11" or "S9,S11". Raises UserError for another text."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[sS]?\d+", part) for part in parts):
        raise UserError(f"'{text}' is not a list of subjects", where="--subjects", expected="9,11 or S9,S11")
    return tuple(int(part.lstrip("sS")) for part in parts)
