"""Arrays from .npz and .mat files, which may be damaged: whatever is wrong with one is a UserError. Nothing in them is
ever executed.

Knows formats; what the arrays mean is for the caller to check.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanpose.errors import UserError


def read_npz(path: Path, expected: str, names: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a .npz file: those of the names, which it must have, or all of them.

    Raises UserError, which says what was `expected`, for a file that is missing, damaged, or holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names or file.files}
    except Exception as error:  # zipfile, zlib and numpy raise whatever the damaged bytes lead them into
        raise UserError(f"the .npz file cannot be read ({error})", where=path, expected=expected) from error


def read_mat(path: Path, expected: str, names: Sequence[str] = (), **options: Any) -> dict[str, Any]:
    """The variables of a .mat file: those of the names, which it must have, or all of them.

    options: of scipy's loadmat. Raises UserError, which says what was `expected`, for a file that is missing, damaged,
    or of version 7.3.
    """
    from scipy.io import loadmat  # slow to import, and not every caller comes to need it

    try:
        with warnings.catch_warnings():
            # scipy puts a text in the place of a variable that it cannot read, and warns.
            warnings.filterwarnings("error", message="Unreadable variable")
            content: dict[str, Any] = loadmat(path, **options)
        return {name: content[name] for name in names or content if not name.startswith("__")}
    except Exception as error:  # scipy raises whatever the damaged bytes lead it into
        raise UserError(f"the .mat file cannot be read ({error})", where=path, expected=expected) from error
