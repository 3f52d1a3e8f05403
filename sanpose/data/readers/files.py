"""Finding and reading a data set's files: JSON, images in their usual folders, and pickles without their dangers."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sanpose.errors import UserError

# Both spellings of one module: numpy 2 moved it, and old pickles name the old place.
_ALLOWED = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "scalar")
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


def find(src: Path, patterns: Sequence[str]) -> list[Path]:
    """The files under `src` that match the first of the patterns (relative globs) that any file matches, sorted."""
    for pattern in patterns:
        found = sorted(path for path in src.glob(pattern) if path.is_file())
        if found:
            return found
    return []


def need(found: Sequence[Path], what: str, src: Path, patterns: Iterable[str], option: str) -> Sequence[Path]:
    """`found`, or a UserError that lists what was looked for and names the option that gives it."""
    if found:
        return found
    raise UserError(f"{what} not found", where=src, expected="one of " + ", ".join(patterns), hint=f"give {option}")


def folder(src: Path) -> Path:
    """`src` itself. Raises UserError where it is not a folder."""
    if not src.is_dir():
        raise UserError("the source folder does not exist", where=src, hint="--src names the data set's folder")
    return src


def image_folder(src: Path, given: Path | None, names: Sequence[str], sample: str) -> Path:
    """The folder in which the image `sample` lies: the given one, or the first of `src`/names that has it.

    Where none has it, the first that exists at all, so that the missing images are then reported one by one.
    """
    if given is not None:
        return folder(given)
    folders = [src / name for name in names if (src / name).is_dir()]
    return next((f for f in folders if (f / sample).is_file()), folders[0] if folders else src)


def read_json(path: Path, kind: type) -> Any:
    """A JSON file whose top level is a `kind` (dict or list). Raises UserError for anything else."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"the file cannot be read ({error.strerror})", where=path) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"this is not valid JSON ({error})", where=path, hint="it may be cut short") from error
    if not isinstance(data, kind):
        raise UserError(
            f"the JSON file holds a {type(data).__name__} at its top", where=path, expected=f"a {kind.__name__}"
        )
    return data


class _NumpyOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not a numpy array")
        return super().find_class(module, name)


def read_pickle(path: Path) -> Any:
    """A pickle of plain containers, numbers, text and numpy arrays.

    Raises UserError for any pickle that names something else: unpickling could run code.
    """
    try:
        return _NumpyOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except Exception as error:  # an unpickler raises whatever the damaged bytes lead it into
        raise UserError(
            f"the pickle is refused ({error})", where=path, expected="plain containers and numpy arrays, whole"
        ) from error
