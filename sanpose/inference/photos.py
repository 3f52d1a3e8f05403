"""The images to predict on: files, or pixels in memory, each with the boxes of its people.

Pixels are 0-based in the upright image (its EXIF orientation applied), x right, y down. Knows image files and boxes;
does not know the network.
"""

from __future__ import annotations

import os
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
_EXIF = 65536  # the first segments of a JPEG file
_EXPECTED = "uint8 RGB pixels (H, W, 3), or the path of an image file"
Pixels = npt.NDArray[np.uint8]
Image = str | os.PathLike[str] | Pixels
Boxes = npt.ArrayLike | Sequence[npt.ArrayLike | None]


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

    Raises UserError when a path does not exist, a folder holds no image, or two images would get results of one name.
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
    by_name: dict[str, Path] = {}
    for path in files:
        if path.stem in by_name:
            raise UserError(
                f"two images would give results of the same name '{path.stem}'",
                where=f"{by_name[path.stem]} and {path}",
                hint="predict them one after the other, each with its own --out",
            )
        by_name[path.stem] = path
    return files


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
    except (jpeg_files.BadImageError, cv2.error) as error:
        raise UserError("the image cannot be encoded as JPEG", where=where, expected="sides below 65536 px") from error


def _load(path: Path) -> npt.NDArray[np.uint8]:
    """An image file as JPEG bytes, turned upright where its EXIF orientation says so. Raises UserError."""
    try:
        data = np.frombuffer(jpeg_files.load(path).data, np.uint8)
    except jpeg_files.BadImageError as error:
        raise UserError(error.message, where=path, expected=f"a whole image: {', '.join(SUFFIXES)}") from error
    except cv2.error as error:
        raise UserError(f"the image cannot be read ({' '.join(str(error).split())})", where=path) from error
    if b"Exif" not in data[:_EXIF].tobytes():
        return data
    upright = cv2.imdecode(data, cv2.IMREAD_COLOR)
    stored = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if upright is None or stored is None or np.array_equal(upright, stored):
        return data
    return np.asarray(cv2.imencode(".jpg", upright, [cv2.IMWRITE_JPEG_QUALITY, 100])[1], np.uint8).ravel()
