"""Arrays from .npz and .mat files, which may be damaged: every fault is a UserError. No content is ever executed.

Knows formats. Does not know what the arrays mean.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanpose.errors import UserError

Array = npt.NDArray[Any]
"""An array of any type of elements."""


def read_npz(path: Path, expected: str, names: Sequence[str] = ()) -> dict[str, Array]:
    """The named arrays of a .npz file, or all of them.

    Raises UserError, with `expected`, for a file that is missing, damaged, holds pickled objects or lacks a name.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names or file.files}
    except Exception as error:  # damaged bytes make zipfile, zlib and numpy raise errors of many types
        raise UserError(f"the .npz file cannot be read ({error})", where=path, expected=expected) from error


def read_mat(path: Path, expected: str, names: Sequence[str] = ()) -> dict[str, Array]:
    """The named variables of a .mat file, or all of them.

    Raises UserError, with `expected`, for a file that is missing, damaged, of version 7.3 or lacks a name.
    """
    content = _load_mat(path, expected, names)
    return {name: np.asarray(value) for name, value in content.items()}


def read_mat_struct(path: Path, expected: str, name: str) -> object:
    """A MATLAB struct as an object whose attributes are its fields, without dimensions of length 1.

    Raises UserError as `read_mat` does.
    """
    return _load_mat(path, expected, (name,), structs=True)[name]


def _load_mat(path: Path, expected: str, names: Sequence[str], *, structs: bool = False) -> dict[str, object]:
    from scipy.io import loadmat  # slow to import, and not every caller needs it

    try:
        with warnings.catch_warnings():
            # scipy replaces a variable that it cannot read by a text, and warns.
            warnings.filterwarnings("error", message="Unreadable variable")
            content = loadmat(path, struct_as_record=not structs, squeeze_me=structs)
        return {name: content[name] for name in names or content if not name.startswith("__")}
    except Exception as error:  # damaged bytes make scipy raise errors of many types
        raise UserError(f"the .mat file cannot be read ({error})", where=path, expected=expected) from error
