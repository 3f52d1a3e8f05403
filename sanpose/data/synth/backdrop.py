"""Backgrounds for pictures in the wild: ground and sky, or floor and wall, with clutter; and a camera's grain."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from sanpose.data.synth.render import CameraView, Image
from sanpose.data.synth.skeleton import Floats

_GRAIN = 512


def backdrop(rng: np.random.Generator, view: CameraView) -> Image:
    """A random scene (H, W, 3) RGB without people, with the camera's horizon."""
    width, height = view.camera.size
    indoor = bool(rng.random() < 0.4)
    above = _muted(rng, 100, 225) if indoor else np.array([150, 190, 228]) * rng.uniform(0.55, 1.08)
    below = _muted(rng, 60, 175) if indoor else np.array([118, 120, 84]) * rng.uniform(0.6, 1.3, 3)
    column = np.clip(above * np.linspace(1.05, 0.85, height)[:, None, None], 0, 255).astype(np.uint8)
    picture = np.ascontiguousarray(np.broadcast_to(column, (height, width, 3)))
    start, end = _horizon(view)
    _clutter(rng, picture, float(start + end) / 2, indoor)
    corners = np.array([[0, start], [width, end], [width, 2 * height + abs(end)], [0, 2 * height + abs(start)]])
    ground = np.full_like(picture, np.clip(below, 0, 255).astype(np.uint8))
    _tiles(rng, ground, view)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, np.clip(corners, -30000, 30000).astype(np.int32), 1)
    np.copyto(picture, ground, where=mask[..., None] > 0)
    return _mottled(rng, picture)


def _muted(rng: np.random.Generator, low: float, high: float) -> Floats:
    """A greyish colour (3,), as of most walls and floors."""
    mixed: Floats = 0.35 * rng.uniform(low, high, 3) + 0.65 * rng.uniform(low, high)
    return mixed


def _horizon(view: CameraView) -> tuple[float, float]:
    """Heights (px from the top) of the horizon at the picture's left and right edges."""
    rotation, f, c = view.extrinsics.rotation, view.camera.f, view.camera.c
    up = rotation @ np.array([0.0, 0.0, 1.0])  # points at infinity on the ground are those with ray . up = 0
    x = (np.array([0.0, view.camera.size[0]]) - c[0]) / f[0]
    y = -(up[0] * x + up[2]) / (up[1] if abs(up[1]) > 1e-6 else -1e-6)
    start, end = (y * f[1] + c[1]).tolist()
    return start, end


def _clutter(rng: np.random.Generator, picture: Image, horizon: float, indoor: bool) -> None:
    """Houses and trees, or pictures, doors and shelves, near the horizon."""
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(3, 10))):
        colour = tuple(_muted(rng, 45, 225).tolist())
        x, w = rng.uniform(-0.1, 1) * width, rng.uniform(0.04, 0.3) * width
        top = horizon - rng.uniform(0.05, 0.6) * height
        if indoor or rng.random() < 0.6:
            bottom = horizon if rng.random() < 0.6 else top + rng.uniform(0.05, 0.3) * height
            cv2.rectangle(picture, (int(x), int(top)), (int(x + w), int(bottom)), colour, -1)
            for k in range(int(rng.integers(0, 4))):
                step = int(w / 4)
                at = int(x) + step // 2 + k * step
                cv2.rectangle(picture, (at, int(top) + step // 2), (at + step // 2, int(top) + step), (60, 66, 78), -1)
        else:
            green = tuple((np.array([60, 110, 50]) * rng.uniform(0.6, 1.3)).tolist())
            stem = (int(x), int(horizon)), (int(x), int(top))
            cv2.line(picture, *stem, (84, 64, 46), max(int(w / 10), 1), cv2.LINE_AA)
            cv2.ellipse(picture, stem[1], (int(w / 2) + 1, int(w / 2.5) + 1), 0, 0, 360, green, -1, cv2.LINE_AA)


def _tiles(rng: np.random.Generator, ground: Image, view: CameraView) -> None:
    """Lines on the ground, in perspective: planks, paving or a court."""
    step, count = float(rng.uniform(500, 1600)), 8
    paint = np.clip(ground[0, 0] * rng.uniform(0.75, 1.3), 0, 255).tolist()
    offsets = np.arange(-count, count + 1) * step
    if rng.random() < 0.3:
        return
    lines = np.zeros((len(offsets), 12, 3))
    turned = int(rng.integers(2))
    lines[..., turned], lines[..., 1 - turned] = offsets[:, None], np.linspace(-count * step, count * step, 12)
    pixels, points = view.project(lines)
    pixels = np.clip(pixels, -5000, 5000).astype(np.int32)
    visible = [line[depth > 400] for line, depth in zip(pixels, points[..., 2], strict=True)]
    cv2.polylines(ground, visible, False, paint, max(ground.shape[0] // 250, 1), cv2.LINE_AA)


def _mottled(rng: np.random.Generator, picture: Image) -> Image:
    """Large soft spots of light, as on real surfaces."""
    height, width = picture.shape[:2]
    coarse = rng.uniform(0.8, 1.18, (max(height // 24, 2), max(width // 24, 2))).astype(np.float32)
    light = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    lit: Image = cv2.multiply(picture, cv2.merge([light, light, light]), dtype=cv2.CV_8U)
    return lit


@lru_cache(maxsize=8)
def _grain(rows: int, columns: int) -> npt.NDArray[np.int16]:
    """Noise (rows * _GRAIN, columns * _GRAIN, 3), one tile repeated."""
    tile = np.round(np.random.default_rng(0).normal(0, 3.5, (_GRAIN, _GRAIN, 3))).astype(np.int16)
    return np.tile(tile, (rows, columns, 1))


def jpeg(picture: Image, rng: np.random.Generator, *, quality: int = 90) -> bytes:
    """The picture (H, W, 3) RGB with a camera's grain, as a JPEG file."""
    height, width = picture.shape[:2]
    grain = _grain(-(-height // _GRAIN) + 1, -(-width // _GRAIN) + 1)
    y, x = rng.integers(0, _GRAIN, 2).tolist()
    noisy = cv2.add(picture, grain[y : y + height, x : x + width], dtype=cv2.CV_8U)
    done, data = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV cannot encode JPEG files")
    return bytes(data)


def look_at(eye: Floats, target: Floats, roll: float) -> Floats:
    """World-to-camera rotation (3, 3) of a camera at `eye` that looks at `target` (mm, world), rolled by degrees."""
    ahead = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(ahead, right)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    rotation: Floats = np.array([c * right + s * down, c * down - s * right, ahead])
    return rotation
