"""The parts of an unfinished packed file: the images read so far, so that a repeated command does not read them again.

A part holds consecutive images of the listing: `part-00012.bin`, their JPEG bytes end to end, and `part-00012.npz`,
written afterwards, whose presence marks the part as complete. The folder's file `key` identifies the listing.
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
    """One part: lengths (M,) bytes and sizes (M, 2) px, 0 for a bad image; bad: (index in the part, kind, message)."""

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
    """The folder OUT.parts for a listing with this key. Removes the parts of another listing; `afresh`: any parts."""
    folder = out.with_name(out.name + ".parts")
    mark = folder / "key"
    if folder.is_dir() and (afresh or not mark.is_file() or mark.read_text() != key):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(mark, key.encode())
    return folder


def make(folder: Path, number: int, images: Sequence[ImageFile]) -> Part:
    """The part of these images from the folder; if it is not there, reads the images and writes it.

    A part with bad images is read again by the next command, as they may be repaired by then.
    """
    path = folder / f"part-{number:05}.bin"
    return _stored(path, len(images)) or _read(path, images)


def _stored(path: Path, count: int) -> Part | None:
    try:
        arrays = array_files.read_npz(path.with_suffix(".npz"), "a part's lengths and sizes", ("lengths", "sizes"))
    except UserError:
        return None  # missing or damaged: the part is read again
    part = Part(path, arrays["lengths"], arrays["sizes"])
    complete = path.is_file() and path.stat().st_size == part.lengths.sum() and len(part.lengths) == count
    return part if complete else None


def _read(path: Path, images: Sequence[ImageFile]) -> Part:
    lengths, sizes = np.zeros(len(images), np.int64), np.zeros((len(images), 2), np.int32)
    blobs, bad = [], []
    for n, image in enumerate(images):
        try:
            jpeg = jpeg_files.load(image.path, image.size)
        except jpeg_files.BadImageError as error:
            bad.append((n, error.kind, error.message))
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
