"""Image files as complete, decodable JPEG bytes and their size: as stored, for the packed file, or upright."""

from __future__ import annotations

import io
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

_START, _END = b"\xff\xd8", b"\xff\xd9"
_TIFF = (b"II*\0", b"MM\0*")
# Damaged data can hide the end of a scan. Then an end marker near the end of the file counts.
_TAIL = 4096
# In a scan 0xFF is data before 0x00, and a restart marker before 0xD0 to 0xD7 (ITU-T T.81, B.1.1.2 and B.1.1.5).
_MARKER_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SCAN, _LAST, _WITHOUT_LENGTH = 0xDA, 0xD9, {0x01, *range(0xD0, 0xD8)}
_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_QUALITY_OF_REENCODED, _QUALITY_OF_TURNED = 95, 100
_ORIENTATION = 0x0112  # the tag of the EXIF standard
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_pillow_lock = threading.Lock()


class BadImageError(Exception):
    """An image cannot be packed. `kind`: a few words to count by; `message`: the reason."""

    def __init__(self, kind: str, message: str):
        self.kind, self.message = kind, message
        super().__init__(kind, message)


@dataclass(frozen=True)
class Jpeg:
    """JPEG bytes and the image's size, px, as stored: an orientation mark is ignored, as in the annotations."""

    data: bytes
    width: int
    height: int


def load(path: Path, size: tuple[int, int] | None = None) -> Jpeg:
    """A JPEG file unchanged; any other image re-encoded at quality 95.

    size: (width, height) px according to the annotations. Raises BadImageError where the file is missing, cut short,
    does not decode, or has another size.
    """
    data = _read(path)
    jpeg = _jpeg(data)
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


def load_upright(path: Path) -> Jpeg:
    """As `load`, turned upright where an orientation mark (EXIF) of a JPEG, PNG or WebP file says so.

    A turned image is re-encoded at quality 100. Raises BadImageError as `load` does.
    """
    data = _read(path)
    jpeg = _jpeg(data)
    turn = None if data.startswith(_TIFF) else _TURNS.get(_orientation(data))  # OpenCV turns a TIFF file itself
    if turn is None:
        return jpeg
    image = _decoded(data, cv2.IMREAD_COLOR)
    if image is None:
        raise BadImageError("unreadable image", "the image does not decode")
    return encoded(np.asarray(Image.fromarray(image).transpose(turn)), _QUALITY_OF_TURNED)


def is_turned(data: bytes) -> bool:
    """Whether an image file's orientation mark (EXIF) turns or mirrors the image."""
    return _orientation(data) in _TURNS


def encoded(image: cv2.typing.MatLike, quality: int = _QUALITY_OF_REENCODED) -> Jpeg:
    """Pixels (H, W, 3) uint8, BGR, as JPEG. Raises BadImageError for a side above 65535 px."""
    try:
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        done = False
    if not done:
        raise BadImageError("unreadable image", "the image cannot be encoded as JPEG: a side is above 65535 px")
    return Jpeg(data.tobytes(), image.shape[1], image.shape[0])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadImageError("missing image", f"the image cannot be read ({error.strerror})") from error


def _jpeg(data: bytes) -> Jpeg:
    return _checked(data) if data.startswith(_START) else _reencoded(data)


def _checked(data: bytes) -> Jpeg:
    # The decoder silently fills missing parts with grey, so the end marker is checked first.
    if not _has_end(data) and _END not in data[-_TAIL:]:
        raise BadImageError("unreadable image", "the JPEG file is cut short")
    width, height = _size(data)
    if _decoded(data, cv2.IMREAD_REDUCED_GRAYSCALE_8) is None:
        raise BadImageError("unreadable image", "the JPEG file does not decode")
    return Jpeg(data, width, height)


def _reencoded(data: bytes) -> Jpeg:
    image = _decoded(data, cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise BadImageError("unreadable image", "the file is not an image that can be decoded")
    return encoded(image)


def _decoded(data: bytes, mode: int) -> npt.NDArray[np.uint8] | None:
    """The pixels as stored, in the form of `mode`; None where the decoder gives up."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise BadImageError("unreadable image", "the image has more pixels than can be decoded") from error
    return None if image is None else np.asarray(image, np.uint8)


def _orientation(data: bytes) -> int:
    """The orientation mark of an image file, 1 to 8 by the EXIF standard; 1 without a mark."""
    with _pillow_lock:  # Pillow's limit of pixels is a global; only the file's header is read here
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(io.BytesIO(data)) as image:
                mark = image.getexif().get(_ORIENTATION, 1)
                return mark if isinstance(mark, int) else 1
        except (OSError, ValueError, SyntaxError):  # what Pillow raises for damaged marks
            return 1
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _has_end(data: bytes) -> bool:
    """Whether the segments and scans of a JPEG file lead to its end marker; what follows the marker does not matter."""
    at = 2
    while at + 1 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _LAST:
            return True
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == _SCAN:
            following = _MARKER_AFTER_SCAN.search(data, at)
            at = following.start() if following else len(data)
    return False


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
