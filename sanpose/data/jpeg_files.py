"""Image files for the packed file: complete, decodable JPEG bytes and their size."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

_START, _END = b"\xff\xd8", b"\xff\xd9"
# Some writers add a few bytes after the end marker.
_TAIL = 4096
_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_QUALITY_OF_REENCODED = 95
_ORIENTATION = 0x0112  # the tag of the EXIF standard


class BadImageError(Exception):
    """An image cannot be packed. `kind`: a few words to count by; `message`: the reason."""

    def __init__(self, kind: str, message: str):
        self.kind, self.message = kind, message
        super().__init__(kind, message)


@dataclass(frozen=True)
class Jpeg:
    """JPEG bytes and the image's size, px. An orientation mark is ignored, as in the annotations."""

    data: bytes
    width: int
    height: int


def load(path: Path, size: tuple[int, int] | None = None) -> Jpeg:
    """A JPEG file unchanged; any other image re-encoded at quality 95.

    size: (width, height) px according to the annotations. Raises BadImageError where the file is missing, cut short,
    does not decode, or has another size.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadImageError("missing image", f"the image cannot be read ({error.strerror})") from error
    jpeg = _checked(data) if data.startswith(_START) else _reencoded(data)
    if size is not None and (jpeg.width, jpeg.height) != size:
        turned = (jpeg.height, jpeg.width) == size and is_turned(data)
        raise BadImageError(
            "image of another size",
            f"the image is {jpeg.width} x {jpeg.height} px, the annotations say {size[0]} x {size[1]} px"
            + (": an EXIF mark turns the image, and the labels are of the turned image" if turned else ""),
        )
    return jpeg


def check(data: bytes) -> Jpeg:
    """The bytes of a complete JPEG file. Raises BadImageError as `load` does."""
    if not data.startswith(_START):
        raise BadImageError("unreadable image", "the bytes are not a JPEG file")
    return _checked(data)


def is_turned(data: bytes) -> bool:
    """Whether an image file's orientation mark (EXIF) turns or mirrors the image."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.getexif().get(_ORIENTATION, 1) not in (0, 1)
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for damaged marks
        return False


def _checked(data: bytes) -> Jpeg:
    # The decoder silently fills missing parts with grey, so the end marker is checked first.
    if _END not in data[-_TAIL:]:
        raise BadImageError("unreadable image", "the JPEG file is cut short")
    width, height = _size(data)
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise BadImageError("unreadable image", "the JPEG file does not decode")
    return Jpeg(data, width, height)


def _reencoded(data: bytes) -> Jpeg:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise BadImageError("unreadable image", "the file is not an image that can be decoded")
    return encoded(image)


def encoded(image: cv2.typing.MatLike) -> Jpeg:
    """Pixels (H, W, 3) uint8, BGR, encoded at quality 95. Raises BadImageError for a side above 65535 px."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY_OF_REENCODED])
    if not done:
        raise BadImageError("unreadable image", "the image cannot be re-encoded")
    return Jpeg(data.tobytes(), image.shape[1], image.shape[0])


def _size(data: bytes) -> tuple[int, int]:
    """(width, height) px from the frame header (ITU-T T.81, B.2.2), without decoding."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _FRAME_MARKERS:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    raise BadImageError("unreadable image", "the JPEG file has no frame header")
