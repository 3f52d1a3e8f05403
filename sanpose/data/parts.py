"""The parts of an unfinished packed file: a listing's images as far as they have been read, so as not to do it twice.

A part is a run of the listing's images: `part-00012.bin`, their JPEG bytes end to end, and `part-00012.npz`, which is
written after it, so that its presence says that the part is whole. The folder's `key` names the listing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanpose.data import array_files, jpeg_files
from sanpose.data.readers.listing import ImageFile
from sanpose.errors import UserError

IMAGES_PER_PART = 256


@dataclass(frozen=True)
class Part:
    """One part: lengths (M,) bytes and sizes (M, 2) px, 0 for a bad image; bad: (index in the part, kind, what)."""

    path: Path
    lengths: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int32]
    bad: Sequence[tuple[int, str, str]] = ()

    def jpegs(self) -> Iterator[npt.NDArray[np.uint8]]:
        """The JPEG files of the part's good images."""
        blob = np.fromfile(self.path, np.uint8)
        end = np.cumsum(self.lengths)
        for start, stop in zip(end - self.lengths, end, strict=True):
            if stop > start:
                yield blob[start:stop]


def open_folder(out: Path, key: str, *, afresh: bool = False) -> Path:
    """The folder OUT.parts for a listing with this key; what another listing left there is removed,
    and, where it is to be read `afresh`, what this one left."""
    folder = out.with_name(out.name + ".parts")
    mark = folder / "key"
    if folder.is_dir() and (afresh or not mark.is_file() or mark.read_text() != key):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(mark, key.encode())
    return folder


def make(folder: Path, number: int, images: Sequence[ImageFile]) -> Part:
    """The part of these images: the one that lies in the folder, or read now and written there.

    A part with bad images is read again next time: they may have been mended.
    """
    path = folder / f"part-{number:05}.bin"
    return _kept(path, len(images)) or _read(path, images)


def _kept(path: Path, count: int) -> Part | None:
    try:
        arrays = array_files.read_npz(path.with_suffix(".npz"), "a part's lengths and sizes", ("lengths", "sizes"))
    except UserError:
        return None  # not there, or damaged: it is read again
    part = Part(path, arrays["lengths"], arrays["sizes"])
    whole = path.is_file() and path.stat().st_size == part.lengths.sum() and len(part.lengths) == count
    return part if whole else None


def _read(path: Path, images: Sequence[ImageFile]) -> Part:
    lengths, sizes = np.zeros(len(images), np.int64), np.zeros((len(images), 2), np.int32)
    blobs, bad = [], []
    for n, image in enumerate(images):
        try:
            jpeg = jpeg_files.load(image.path, image.size)
        except jpeg_files.BadImageError as error:
            bad.append((n, error.kind, error.what))
            continue
        lengths[n], sizes[n] = len(jpeg.data), (jpeg.width, jpeg.height)
        blobs.append(jpeg.data)
    _replace(path, b"".join(blobs))
    if not bad:
        mark = path.with_suffix(".npz")
        with (temporary := mark.with_suffix(".part")).open("wb") as file:
            np.savez(file, lengths=lengths, sizes=sizes)
        os.replace(temporary, mark)
    return Part(path, lengths, sizes, bad)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    os.replace(temporary, path)
