"""Arrays from the files that people keep predictions in: .npz, .json, .mat and packed files. No file is executed.

Knows formats and their errors; the modules *_files know what the arrays mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanpose.data import array_files, packed
from sanpose.data.array_files import Array
from sanpose.data.json_files import read_object
from sanpose.errors import UserError, nearest


def is_packed(path: Path) -> bool:
    """Whether a file's name is that of a packed file."""
    return path.suffix in (".h5", ".hdf5")


def read_packed(path: Path, source: str) -> packed.Packed:
    """A packed file of this source. Raises UserError as `packed.read`, and for a file of another source."""
    data = packed.read(path)
    if data.source != source:
        raise packed.wrong_source(data, source)
    return data


def read_arrays(path: Path) -> dict[str, Array]:
    """The named arrays of a .npz, .mat, or .json file (an object with lists).

    Raises UserError when the file is missing, of another kind, damaged, or holds ragged lists or pickled objects.
    """
    if path.suffix not in (".npz", ".json", ".mat"):
        raise UserError(
            f"a file of the kind '{path.suffix}' cannot be read here", where=path, expected=".npz or .json or .mat"
        )
    if not path.is_file():
        raise UserError("the file does not exist", where=path)
    if path.suffix == ".npz":
        return array_files.read_npz(path, "plain arrays, nothing pickled")
    if path.suffix == ".mat":
        return array_files.read_mat(path, "MATLAB's version 7 or older")
    return _read_json_arrays(path)


def _read_json_arrays(path: Path) -> dict[str, Array]:
    arrays = {}
    for name, value in read_object(path).items():
        try:
            arrays[name] = np.asarray(value)
        except ValueError as error:
            raise UserError(f"'{name}' is ragged ({error})", where=path, expected="lists of equal lengths") from error
    return arrays


def numbers(arrays: Mapping[str, Array], name: str, path: Path) -> npt.NDArray[np.float64]:
    """One of the arrays as float64. Raises UserError when it is missing or does not hold numbers."""
    if name not in arrays:
        raise UserError(
            f"the file has no '{name}'",
            where=path,
            expected=f"'{name}'; it has {', '.join(sorted(arrays)) or 'nothing'}",
            hint=nearest(name, arrays),
        )
    if not np.issubdtype(arrays[name].dtype, np.number):
        raise UserError(f"'{name}' does not hold numbers", where=path, expected="numbers only, no null")
    return arrays[name].astype(np.float64)


def matched(predicted: npt.NDArray[np.float64], selected: npt.NDArray[np.bool_], path: Path) -> npt.NDArray[np.float64]:
    """The predictions (M, ...) of the ground truth's selected samples, mask (N,), in its order.

    A file may hold one prediction for each of the N samples, or only those for the selected ones. Raises UserError for
    another number of predictions.
    """
    count, chosen = len(selected), int(selected.sum())
    if len(predicted) == chosen:
        return predicted
    if len(predicted) == count:
        return np.asarray(predicted[selected])
    also = f", or {chosen} (the selected ones)" if chosen != count else ""
    raise UserError(
        f"the file holds {len(predicted)} predictions",
        where=path,
        expected=f"{count}, one for each sample of the ground truth in its order{also}",
    )
