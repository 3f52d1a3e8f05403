"""Typed access to the entries of a JSON annotation file, which may hold anything: a wrong type is a UserError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sanpose.data.readers.listing import BadSamples
from sanpose.errors import UserError

Parsed = TypeVar("Parsed")


def numbers(
    entry: object, name: str, shape: tuple[int, ...], where: object, expected: str = "", hint: str | None = None
) -> npt.NDArray[np.float64]:
    """The field's numbers as an array of this shape; null becomes NaN. Raises UserError for anything else.

    hint: what helps where the numbers have another shape.
    """
    value = field(entry, name, where)
    expected = expected or f"numbers of shape {shape}"
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"'{name}' does not hold rows of numbers only", where=where, expected=expected) from error
    if array.shape != shape:
        raise UserError(f"'{name}' has shape {array.shape}", where=where, expected=expected, hint=hint)
    return array


def finite(entry: object, name: str, shape: tuple[int, ...], where: object, expected: str) -> npt.NDArray[np.float64]:
    """The field's numbers as an array of this shape, all finite. Raises UserError for anything else."""
    array = numbers(entry, name, shape, where, expected)
    if not np.isfinite(array).all():
        raise UserError(f"'{name}' is not finite", where=where, expected=expected)
    return array


def number(entry: object, name: str, where: object) -> float:
    """The field's number; null becomes NaN. Raises UserError for anything else."""
    return float(numbers(entry, name, (), where, "a number"))


def integer(entry: object, name: str, where: object) -> int:
    """The field's integer. Raises UserError for anything else."""
    value = field(entry, name, where)
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or abs(int(value)) >= 2**62:
        raise UserError(f"'{name}' is {value!r:.80}", where=where, expected="an integer")
    return int(value)


def text(entry: object, name: str, where: object) -> str:
    """The field's text. Raises UserError for anything else."""
    value = field(entry, name, where)
    if not isinstance(value, str):
        raise UserError(f"'{name}' is {value!r}", where=where, expected="text")
    return value


def dictionary(entry: object, name: str, where: object) -> dict[str, object]:
    """The field's dictionary. Raises UserError for anything else."""
    value = field(entry, name, where)
    if not isinstance(value, dict):
        raise UserError(f"'{name}' is {value!r}", where=where, expected="a dictionary")
    return value


def field(entry: object, name: str, where: object) -> object:
    """The field of an entry. Raises UserError where the entry is no dictionary or lacks it."""
    if not isinstance(entry, dict) or name not in entry:
        raise UserError(f"the entry lacks '{name}'", where=where)
    return entry[name]


def parsed(
    data: Mapping[str, object], key: str, parse: Callable[[object, str], Parsed], path: Path, bad: BadSamples
) -> list[Parsed]:
    """The entries of a file's list `key`, each as `parse(entry, where)` returns it.

    An entry for which `parse` raises UserError is a bad sample. Raises UserError where there is no such list.
    """
    listed = data.get(key)
    if not isinstance(listed, list):
        raise UserError(f"the file has no list '{key}'", where=path)
    results = []
    for n, entry in enumerate(listed):
        try:
            results.append(parse(entry, f"{path}, {key}[{n}]"))
        except UserError as error:
            bad.malformed(error)
    return results
