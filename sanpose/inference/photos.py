"""The images to predict on: files, or pixels in memory, each with the boxes of its people.

Pixels are 0-based in the upright image (its EXIF orientation applied), x right, y down. Knows image files and boxes;
does not know the network.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sanpose.data import crop, jpeg_files
from sanpose.errors import UserError
from sanpose.inference import boxes as people_boxes
from sanpose.inference.boxes import Box, require_inside, whole

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_EXPECTED = "uint8 RGB pixels (H, W, 3), or the path of an image file"
Pixels = npt.NDArray[np.uint8]
Image = str | os.PathLike[str] | Pixels
Boxes = npt.ArrayLike | Sequence[npt.ArrayLike | None]


class UnreadableImageError(UserError):
    """An image file that cannot be read."""


@dataclass(frozen=True)
class Photo:
    """An image with its size in px and people's boxes.

    path: the file; for pixels in memory, a name for messages. jpeg: pixels in memory, as the bytes of a JPEG file.
    """

    path: Path
    width: int
    height: int
    boxes: tuple[Box, ...]
    jpeg: npt.NDArray[np.uint8] | None = None

    def load(self) -> npt.NDArray[np.uint8]:
        """The bytes of the upright image as a JPEG file. Raises UserError when the file cannot be read."""
        return _load(self.path) if self.jpeg is None else self.jpeg


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The image files among files and folders (not their subfolders), by name within a folder.

    An image that is named twice is taken once. Raises UserError when a path does not exist, or a folder holds no image.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise UserError("this folder holds no image", where=path, expected=", ".join(SUFFIXES))
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise UserError("there is no such image or folder", where=path)
    first: dict[Path, Path] = {}
    for path in files:
        first.setdefault(_absolute(path), path)
    return list(first.values())


def result_names(paths: Sequence[Path]) -> list[str]:
    """The name of each image's results, without suffix: unique, and as short as the other images allow.

    `p1` for p1.jpg; `p1.jpg` and `p1.png` for two images of one folder; `a/p1` and `b/p1` for images of two folders.
    """
    files = [_absolute(path) for path in paths]
    places = Counter(file.with_suffix("") for file in files)
    own = [file.stem if places[file.with_suffix("")] == 1 else file.name for file in files]
    parents = [file.parent.parts[1:] for file in files]
    depths = [0] * len(paths)
    while True:
        names = [
            "/".join((*way[len(way) - depth :], name)) for way, depth, name in zip(parents, depths, own, strict=True)
        ]
        counts = Counter(names)
        if max(counts.values(), default=1) == 1:
            return names
        depths = [
            min(depth + (counts[name] > 1), len(way)) for depth, name, way in zip(depths, names, parents, strict=True)
        ]


def _absolute(path: Path) -> Path:
    """Without `..`; a link stays a file of its own."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def read_image(path: Path) -> Pixels:
    """An image file as RGB (H, W, 3) uint8, upright. Raises UserError when the file cannot be read."""
    return crop.decode(_load(path), where=path)


def photos(images: Sequence[Path | Pixels], boxes: Sequence[Sequence[Box] | None] | None = None) -> list[Photo]:
    """The images with their boxes. Without boxes, the whole image is one box. All input is checked here.

    images: files, or RGB pixels (H, W, 3) uint8. Pixels are encoded as JPEG at quality 95, as a PNG file with the same
    pixels is. Raises UserError for an image that cannot be read, and for a box outside its image.
    """
    out = []
    for i, image in enumerate(images):
        if isinstance(image, Path):
            path, jpeg, (height, width) = image, None, read_image(image).shape[:2]
        else:
            path, jpeg, (height, width) = Path(f"images[{i}]"), _encode(image, f"images[{i}]"), image.shape[:2]
        own = None if boxes is None else boxes[i]
        people = (whole(width, height),) if own is None else tuple(own)
        for j, box in enumerate(people):
            require_inside(box, width, height, f"{path}, box {j}")
        out.append(Photo(path, width, height, people, jpeg))
    return out


def readable(
    paths: Sequence[Path], boxes: Sequence[Sequence[Box]] | None = None
) -> tuple[list[Photo], list[UnreadableImageError]]:
    """The images that can be read, as `photos` returns them, and the errors of those that cannot.

    Raises UserError for a box outside its image.
    """
    read: list[Photo] = []
    errors: list[UnreadableImageError] = []
    for i, path in enumerate(paths):
        try:
            read += photos([path], None if boxes is None else [boxes[i]])
        except UnreadableImageError as error:
            errors.append(error)
    return read, errors


def from_arrays(images: Image | Iterable[Image], boxes: Boxes | None, padding: float | None) -> list[Photo]:
    """The photos of the Python API; see `TrainedNetwork.predict`. Raises UserError for any other input."""
    if isinstance(images, str | os.PathLike) or (isinstance(images, np.ndarray) and images.ndim != 4):
        return photos([_image(images, "images")], people_boxes.from_arrays(None if boxes is None else [boxes], padding))
    if not isinstance(images, Iterable):
        raise UserError(f"the images are a {type(images).__name__}", where="images", expected=f"{_EXPECTED}, or a list")
    several = [_image(image, f"images[{i}]") for i, image in enumerate(images)]
    return photos(several, people_boxes.from_arrays(boxes, padding, len(several)))


def _image(image: object, where: str) -> Path | Pixels:
    if isinstance(image, str | os.PathLike):
        path = Path(os.fsdecode(image))
        if path.is_dir():
            raise UserError(
                "this is a folder", where=path, expected=_EXPECTED, hint=f"sorted(Path('{path}').iterdir())"
            )
        return path
    if not isinstance(image, np.ndarray):
        raise UserError(f"the image is a {type(image).__name__}", where=where, expected=_EXPECTED)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UserError(f"the image is {image.dtype} of the shape {image.shape}", where=where, expected=_EXPECTED)
    return image


def _encode(pixels: Pixels, where: str) -> npt.NDArray[np.uint8]:
    try:
        return np.frombuffer(jpeg_files.encoded(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)).data, np.uint8)
    except jpeg_files.BadImageError as error:
        raise UserError("the image cannot be encoded as JPEG", where=where, expected="sides below 65536 px") from error


def _load(path: Path) -> npt.NDArray[np.uint8]:
    """An image file as JPEG bytes, turned upright where its EXIF orientation says so. Raises UnreadableImageError."""
    try:
        return np.frombuffer(jpeg_files.load_upright(path).data, np.uint8)
    except jpeg_files.BadImageError as error:
        raise UnreadableImageError(
            error.message, where=path, expected=f"a whole image: {', '.join(SUFFIXES)}"
        ) from error
