"""Typed access to the entries of a JSON annotation file: anything may be in them, and a wrong type is bad input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanpose.data.readers.listing import Bad
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


def finite(entry: Any, name: str, shape: tuple[int, ...], where: object, expected: str) -> npt.NDArray[np.float64]:
    """The field's numbers as an array of this shape, all finite. Raises UserError for anything else."""
    array = numbers(entry, name, shape, where, expected)
    if not np.isfinite(array).all():
        raise UserError(f"'{name}' is not finite", where=where, expected=expected)
    return array


def number(entry: Any, name: str, where: object) -> float:
    """The field's number; null becomes NaN. Raises UserError for anything else."""
    return float(numbers(entry, name, (), where, "a number"))


def integer(entry: Any, name: str, where: object) -> int:
    """The field's integer. Raises UserError for anything else."""
    value = field(entry, name, where)
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or abs(int(value)) >= 2**62:
        raise UserError(f"'{name}' is {value!r:.80}", where=where, expected="an integer")
    return int(value)


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


def understood(
    data: dict[str, Any], key: str, integers: Sequence[str], texts: Sequence[str], path: Path, bad: Bad
) -> list[dict[str, Any]]:
    """The entries of a file's list `key` that have these integers and texts; the others are bad. Raises UserError where
    there is no such list."""
    listed = data.get(key)
    if not isinstance(listed, list):
        raise UserError(f"the file has no list '{key}'", where=path)
    good = []
    for n, entry in enumerate(listed):
        where = f"{path}, {key}[{n}]"
        try:
            for name in integers:
                integer(entry, name, where)
            for name in texts:
                text(entry, name, where)
        except UserError as error:
            bad.malformed(error)
        else:
            good.append(entry)
    return good
