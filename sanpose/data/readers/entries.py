"""Typed access to the entries of a JSON annotation file: anything may be in them, and a wrong type is bad input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanpose.errors import UserError


def numbers(
    entry: Any, name: str, shape: tuple[int, ...], where: object, expected: str = ""
) -> npt.NDArray[np.float64]:
    """The field's numbers as an array of this shape; null becomes NaN. Raises UserError for anything else."""
    value = field(entry, name, where)
    wanted = expected or f"numbers of shape {shape}"
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"'{name}' holds something else than rows of numbers", where=where, expected=wanted) from error
    if array.shape != shape:
        raise UserError(f"'{name}' has shape {array.shape}", where=where, expected=wanted)
    return array


def number(entry: Any, name: str, where: object) -> float:
    """The field's number; null becomes NaN. Raises UserError for anything else."""
    return float(numbers(entry, name, (), where, "a number"))


def integer(entry: Any, name: str, where: object) -> int:
    """The field's integer. Raises UserError for anything else."""
    value = field(entry, name, where)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**62:
        raise UserError(f"'{name}' is {value!r}", where=where, expected="an integer")
    return value


def text(entry: Any, name: str, where: object) -> str:
    """The field's text. Raises UserError for anything else."""
    value = field(entry, name, where)
    if not isinstance(value, str):
        raise UserError(f"'{name}' is {value!r}", where=where, expected="text")
    return value


def dictionary(entry: Any, name: str, where: object) -> dict[str, Any]:
    """The field's dictionary. Raises UserError for anything else."""
    value = field(entry, name, where)
    if not isinstance(value, dict):
        raise UserError(f"'{name}' is {value!r}", where=where, expected="a dictionary")
    return value


def field(entry: Any, name: str, where: object) -> Any:
    """The field of an entry. Raises UserError where the entry is no dictionary or lacks it."""
    if not isinstance(entry, dict) or name not in entry:
        raise UserError(f"the entry lacks '{name}'", where=where)
    return entry[name]


def listed(
    data: dict[str, Any], key: str, integers: Sequence[str], texts: Sequence[str], path: Path
) -> list[dict[str, Any]]:
    """The list `key` of a file, each entry of which has these integers and texts. Raises UserError where not so."""
    entries = data.get(key)
    if not isinstance(entries, list):
        raise UserError(f"the file has no list '{key}'", where=path)
    for n, entry in enumerate(entries):
        where = f"{path}, {key}[{n}]"
        for name in integers:
            integer(entry, name, where)
        for name in texts:
            text(entry, name, where)
    return entries
