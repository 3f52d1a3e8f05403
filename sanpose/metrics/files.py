"""Arrays from the files that people keep predictions in: .npz, .json, .mat. Nothing in them is ever executed.

Knows formats and how to refuse them clearly; the modules *_files know what the arrays mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanpose.data import array_files
from sanpose.errors import UserError, nearest

Array = npt.NDArray[Any]


def read_json(path: Path) -> Any:
    """A JSON file's content. Raises UserError when it is missing, unreadable or broken (with the place)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the file cannot be read ({error})", where=path) from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"broken JSON: {error.msg}",
            where=f"{path}, line {error.lineno}, column {error.colno}",
            expected="one complete JSON document",
            hint="write or copy it again: it may be cut short",
        ) from error


def read_arrays(path: Path) -> dict[str, Array]:
    """The named arrays of a .npz, .mat, or .json file (an object with lists).

    Raises UserError when the file is missing, of another kind, damaged, or holds ragged lists or pickled objects.
    """
    readers = {".npz": _read_npz, ".json": _read_json_arrays, ".mat": _read_mat}
    if path.suffix not in readers:
        raise UserError(
            f"files of the kind '{path.suffix}' cannot be read here", where=path, expected=" or ".join(readers)
        )
    if not path.is_file():
        raise UserError("the file does not exist", where=path)
    return readers[path.suffix](path)


def _read_npz(path: Path) -> dict[str, Array]:
    return array_files.read_npz(path, "plain arrays, nothing pickled")


def _read_json_arrays(path: Path) -> dict[str, Array]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(
            f"the JSON document is a {type(content).__name__}", where=path, expected="an object of named lists"
        )
    out = {}
    for name, value in content.items():
        try:
            out[name] = np.asarray(value)
        except ValueError as error:
            raise UserError(f"'{name}' is ragged ({error})", where=path, expected="lists of equal lengths") from error
    return out


def _read_mat(path: Path) -> dict[str, Array]:
    return array_files.read_mat(path, "MATLAB's version 7 or older")


def numbers(arrays: Mapping[str, Array], name: str, path: Path) -> npt.NDArray[np.float64]:
    """One of the arrays as float64. Raises UserError when it is missing or isn't made of numbers."""
    if name not in arrays:
        raise UserError(
            f"the file has no '{name}'",
            where=path,
            expected=f"'{name}'; it has {', '.join(sorted(arrays)) or 'nothing'}",
            hint=nearest(name, arrays),
        )
    if not np.issubdtype(arrays[name].dtype, np.number):
        raise UserError(f"'{name}' is not made of numbers", where=path, expected="numbers only, no null")
    return arrays[name].astype(np.float64)


def matched(predicted: npt.NDArray[np.float64], selected: npt.NDArray[np.bool_], path: Path) -> npt.NDArray[np.float64]:
    """The predictions (M, ...) of the ground truth's selected samples, mask (N,), in its order.

    A file may hold one prediction for each of the N samples, or only those for the selected ones.
    """
    count, chosen = len(selected), int(selected.sum())
    if len(predicted) == count:
        kept: npt.NDArray[np.float64] = predicted[selected]
        return kept
    if len(predicted) == chosen:
        return predicted
    also = f", or {chosen} (the selected ones)" if chosen != count else ""
    raise UserError(
        f"{len(predicted)} predictions",
        where=path,
        expected=f"{count}, one for each sample of the ground truth in its order{also}",
    )
