"""Wrong values put into JSON, one at a time: whoever reads someone's file must refuse each, or take it without harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

WRONG = (None, "text", [], {}, -1, 1e300, float("nan"), [[None]])


def everywhere(whole: str, wrong: Any) -> Iterator[str]:
    """The JSON text with the wrong value in one place after the other."""
    for path in list(_places(json.loads(whole)))[1:]:
        data = json.loads(whole)
        holder = data
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = wrong
        yield json.dumps(data)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything in a JSON value, the first entries of lists standing for the rest."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from _places(inner, (*path, key))
