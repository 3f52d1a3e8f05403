"""Finding a data set's files and image folders, and reading pickles without running their code."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sanpose.errors import UserError

# Both spellings of one module: numpy 2 moved it, and old pickles name the old place.
_ALLOWED = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "scalar")
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


_TRAINING_WORDS = {"train", "training", "trainset", "trainval"}
_EVALUATION_WORDS = {"val", "valid", "validation", "minival"}


def is_training(path: Path) -> bool:
    """Whether a word of the file's name names a training split, as in person_keypoints_train2017.json."""
    return bool(_words(path) & _TRAINING_WORDS)


def is_evaluation(path: Path) -> bool:
    """Whether a word of the file's name names an evaluation split, and none a training split."""
    return bool(_words(path) & _EVALUATION_WORDS) and not is_training(path)


def _words(path: Path) -> set[str]:
    """The words of a file's name: letters between other characters; a capital letter begins a word."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", path.stem)
    return set(re.findall(r"[a-z]+", apart.lower()))


def find(src: Path, patterns: Sequence[str]) -> list[Path]:
    """The files under `src` that match the first of the patterns (relative globs) that any file matches, sorted."""
    for pattern in patterns:
        matches = sorted(path for path in src.glob(pattern) if path.is_file())
        if matches:
            return matches
    return []


def require(paths: Sequence[Path], what: str, src: Path, patterns: Iterable[str], option: str) -> Sequence[Path]:
    """`paths`; where there are none, raises UserError with the patterns searched and the option that names a file."""
    if paths:
        return paths
    raise UserError(f"{what} not found", where=src, expected="one of " + ", ".join(patterns), hint=f"pass {option}")


def folder(src: Path) -> Path:
    """`src` itself. Raises UserError where it is not a folder."""
    if not src.is_dir():
        raise UserError("the source folder does not exist", where=src, hint="--src names the data set's folder")
    return src


def image_folder(src: Path, images: Path | None, names: Sequence[str], sample: str) -> Path:
    """The folder of the images: `images`, or the first of `src`/names that has the image `sample`.

    Where no folder has it, returns the first that exists, so that each missing image is reported. Raises UserError
    where `images` is not a folder.
    """
    if images is not None:
        return folder(images)
    folders = [src / name for name in names if (src / name).is_dir()]
    return next((f for f in folders if (f / sample).is_file()), folders[0] if folders else src)


class _NumpyOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not part of a numpy array")
        return super().find_class(module, name)


def read_pickle(path: Path) -> object:
    """A pickle of plain containers, numbers, text and numpy arrays.

    Raises UserError for a pickle that names any other class or function, as unpickling it could run code.
    """
    try:
        return _NumpyOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except Exception as error:  # damaged bytes make an unpickler raise errors of many types
        raise UserError(
            f"the pickle is refused ({error})", where=path, expected="plain containers and numpy arrays, whole"
        ) from error
