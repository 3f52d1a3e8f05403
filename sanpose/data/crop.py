"""The map from a person's box to the network's input and targets, and back.

Frames: "image" is px in the whole image, "crop" is px in the network's input (width W, height H); both 0-based. The
network's coordinates are x/W - 0.5, y/H - 0.5 of the crop, and root-relative depth over the crop's side in mm
(2000 mm, Human3.6M's box; integral regression, Sun et al. 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sanpose.config.schema import AugmentConfig
from sanpose.errors import UserError

DEPTH_MM = 2000.0
REDUCTIONS = (8, 4, 2, 1)
"""By how much a JPEG can be reduced while it is decoded."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CropView:
    """The region of an image that a crop shows: centre and size in image px, rotation (degrees), zoom, mirror, colour.

    `zoom` 1.2 shows a region 1.2 times as large; `color` are factors of the red, green and blue channels.
    """

    center: tuple[float, float]
    size: tuple[float, float]
    rotation: float = 0.0
    zoom: float = 1.0
    mirror: bool = False
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)


def view_of(box: npt.NDArray[np.floating], padding: float, width: int, height: int) -> CropView:
    """The unaugmented view of a box (x, y, width, height; image px), extended to the crop's aspect ratio and padded."""
    x, y, w, h = (float(v) for v in box)
    aspect = width / height
    w, h = (w, w / aspect) if w > aspect * h else (aspect * h, h)
    return CropView((x + float(box[2]) / 2, y + float(box[3]) / 2), (w * padding, h * padding))


def augmented(view: CropView, augment: AugmentConfig, random: np.random.Generator) -> CropView:
    """The view with the paper's augmentation (section 3.5): uniform rotation, scale and translation, and a flip."""
    angle, zoom, dx, dy, flip, red, green, blue = random.uniform(-1, 1, 8)
    shift_x, shift_y = (d * augment.translation * s for d, s in zip((dx, dy), view.size, strict=True))
    return CropView(
        (view.center[0] + shift_x, view.center[1] + shift_y),
        view.size,
        rotation=angle * augment.rotation,
        zoom=1 + zoom * augment.scale,
        mirror=(flip + 1) / 2 < augment.flip,
        color=(1 + red * augment.color, 1 + green * augment.color, 1 + blue * augment.color),
    )


def to_crop(view: CropView, width: int, height: int) -> Array:
    """The affine map (2, 3) from image px to crop px: the view's centre maps to (W/2, H/2)."""
    scale = width / (view.size[0] * view.zoom)
    angle = math.radians(view.rotation)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    x, y = view.center
    across = (cos, -sin, width / 2 - (cos * x - sin * y))
    if view.mirror:
        across = (-cos, sin, width - 1 - across[2])
    return np.array([across, (sin, cos, height / 2 - (sin * x + cos * y))])


def apply(matrix: Array, points: npt.NDArray[np.floating]) -> Array:
    """Map points (..., 2) by an affine (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float64)


def inverse(matrix: Array) -> Array:
    """The inverse affine (2, 3)."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def decode(jpeg: npt.NDArray[np.uint8], shrink: int = 1, where: object = None) -> npt.NDArray[np.uint8]:
    """JPEG bytes to RGB (H, W, 3) uint8, at 1/shrink of the size (1, 2, 4, 8: inside the JPEG decoder, so cheaper).

    Raises UserError when the bytes are not a readable image.
    """
    # OpenCV has flags of a reduced size for grayscale and BGR only; IMREAD_COLOR_RGB makes the grayscale one RGB.
    sizes = {1: 0, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4}
    size = sizes.get(shrink, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    image = cv2.imdecode(jpeg, size | cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION) if len(jpeg) else None
    if image is None:
        raise UserError("an image cannot be decoded", where=where, hint="`sanpose data check FILE.h5 --all`")
    return np.asarray(image, np.uint8)


def shrink_for(view: CropView, width: int) -> int:
    """The largest reduction (1, 2, 4, 8) that does not enlarge the crop: the reduction also avoids aliasing."""
    ratio = view.size[0] * view.zoom / width
    return next((n for n in REDUCTIONS if ratio >= n), 1)


def crop(
    jpeg: npt.NDArray[np.uint8], view: CropView, width: int, height: int, where: object = None
) -> npt.NDArray[np.uint8]:
    """The crop (H, W, 3) uint8 RGB of a JPEG: bilinear, black outside the image. Raises UserError as `decode`."""
    shrink = shrink_for(view, width)
    image = decode(jpeg, shrink, where)
    matrix = to_crop(view, width, height)
    if shrink > 1:  # pixel r of the small image covers pixels r*n .. r*n + n-1, centred on r*n + (n-1)/2
        matrix = np.column_stack([matrix[:, :2] * shrink, matrix[:, 2] + matrix[:, :2].sum(1) * (shrink - 1) / 2])
    out = _warp(image, matrix, width, height)
    if view.color != (1.0, 1.0, 1.0):
        out = np.clip(out * np.array(view.color, np.float32) + 0.5, 0, 255)
    return np.asarray(out, np.uint8)


def _warp(image: npt.NDArray[np.uint8], matrix: Array, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Bilinear, black outside the image. Warping four channels takes less than half the time of three, including the
    time to add the fourth channel to the part of the image that the crop shows and to remove it."""
    low, high = _source_region(matrix, width, height, image.shape[1], image.shape[0])
    part = image[low[1] : high[1], low[0] : high[0]]
    if not part.size:
        return np.zeros((height, width, 3), np.uint8)
    shifted = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ low])
    four = cv2.warpAffine(cv2.cvtColor(part, cv2.COLOR_RGB2RGBA), shifted, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(four, cv2.COLOR_RGBA2RGB), np.uint8)


def _source_region(
    matrix: Array, width: int, height: int, image_width: int, image_height: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The corners, low and high (exclusive), of the part of an image that a crop's bilinear samples use."""
    (a, b, c), (d, e, f) = inverse(matrix).tolist()
    corners = ((0, 0), (width, 0), (0, height), (width, height))
    xs, ys = [a * x + b * y + c for x, y in corners], [d * x + e * y + f for x, y in corners]
    low = (max(0, math.floor(min(xs)) - 1), max(0, math.floor(min(ys)) - 1))
    high = (min(image_width, math.ceil(max(xs)) + 2), min(image_height, math.ceil(max(ys)) + 2))
    return low, (max(low[0], high[0]), max(low[1], high[1]))


def normalised(points: Array, width: int, height: int) -> Array:
    """The network's coordinates of points (..., 2) in crop px."""
    return np.asarray(points / np.array([width, height]) - 0.5)


def from_normalised(coordinates: npt.NDArray[np.floating], view: CropView, width: int, height: int) -> Array:
    """Image px of the network's x, y (..., 2)."""
    points = (np.asarray(coordinates, np.float64) + 0.5) * np.array([width, height])
    return apply(inverse(to_crop(view, width, height)), points)


def unflipped(coordinates: npt.NDArray[np.floating], flip: npt.NDArray[np.int64], width: int) -> Array:
    """Coordinates (..., J, 3) predicted in a mirrored crop, converted to the unmirrored crop.

    Mirroring maps pixel x to W-1-x, so x/W - 0.5 becomes -(x/W - 0.5) - 1/W; depth is unchanged.
    """
    out = np.array(coordinates, np.float64)[..., flip, :]
    out[..., 0] = -out[..., 0] - 1 / width
    return out
