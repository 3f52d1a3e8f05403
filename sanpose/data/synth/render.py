"""Draws capsules into a picture: a depth buffer of balls swept along lines, shaded where they are visible.

The projection of each capsule's ends is exact, with lens distortion; between the ends it is orthographic, with an error
below a pixel for a limb. Colours are red, green, blue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sanpose.data.synth.person import Capsules
from sanpose.data.synth.skeleton import Floats
from sanpose.pose.cameras import Camera, Extrinsics, project

Image = npt.NDArray[np.uint8]
_NEAR_MM = 250.0
_FAR = np.float32(1e9)
_SHADOW_MM = 450.0
# px^2: larger bodies show all their limbs without oversampling.
_LARGE_PX = 24000
# Samples: capsules with a smaller radius are not drawn.
_THINNEST = 0.55
_LIGHT = np.array([0.35, 0.25, 0.9]) / np.linalg.norm([0.35, 0.25, 0.9])


@dataclass(frozen=True)
class CameraView:
    """A camera and its position."""

    camera: Camera
    extrinsics: Extrinsics

    def project(self, world: Floats) -> tuple[Floats, Floats]:
        """World points (..., 3) mm -> pixels (..., 2) and camera-frame points (..., 3) mm."""
        points = self.extrinsics.apply(world)
        c = self.camera
        return project(points, c.f, c.c, c.k, c.p), points


@dataclass(frozen=True)
class Layer:
    """The drawn bodies: `box` x0, y0, x1, y1 px; depth mm (1e9 where empty) and owner (-1 where empty), both
    (h * oversampling, w * oversampling) over the box."""

    box: tuple[int, int, int, int]
    oversampling: int
    depth: npt.NDArray[np.float32]
    owner: npt.NDArray[np.int16]

    def nearest(self, pixels: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Depth mm (N,) and owner (N,) at pixels (N, 2); infinity and -1 where nothing is drawn."""
        x, y = np.floor((pixels.T + 0.5 - np.array(self.box[:2])[:, None]) * self.oversampling).astype(np.int64)
        height, width = self.depth.shape
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        x, y = np.where(inside, x, 0), np.where(inside, y, 0)
        if not self.depth.size:
            return np.full(len(pixels), np.inf), np.full(len(pixels), -1)
        return np.where(inside, self.depth[y, x], np.inf), np.where(inside, self.owner[y, x], -1)


def draw(
    picture: Image, view: CameraView, bodies: list[Capsules], *, oversampling: int, brightness: float = 1.0
) -> Layer:
    """Draw bodies (world, mm) onto a picture (H, W, 3) in place; nearer bodies hide others.

    oversampling: samples per pixel and axis, for bodies that do not fill a large picture. In the result, an owner is
    the body's index in the list.
    """
    parts = Capsules(*(np.concatenate(values) for values in zip(*bodies, strict=True)))
    owner = np.repeat(np.arange(len(bodies)), [len(body.start) for body in bodies])
    camera = view.camera
    pixels, points = view.project(np.stack([parts.start, parts.end], 1))
    ahead = points[..., 2].min(-1) > _NEAR_MM
    safe = np.where(ahead[:, None], points[..., 2], 1e6)
    radius = parts.radius * camera.f.mean() / safe
    low, high = (pixels - radius[..., None]).min(1) - 1, (pixels + radius[..., None]).max(1) + 2
    size = np.array(camera.size)
    visible = np.flatnonzero(ahead & (high > 0).all(-1) & (low < size).all(-1))
    if not len(visible):
        return Layer((0, 0, 0, 0), oversampling, np.zeros((0, 0), np.float32), np.zeros((0, 0), np.int16))
    x0, y0 = np.clip(np.floor(low[visible].min(0)), 0, size).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(high[visible].max(0)), 0, size).astype(int).tolist()
    s = oversampling if (x1 - x0) * (y1 - y0) <= _LARGE_PX else 1
    shifted = (pixels - (x0, y0) + 0.5) * s - 0.5
    swept = _Swept.of(shifted, radius * s, points[..., 2], float(camera.f.mean()) * s)
    buffer = _Buffer(((y1 - y0) * s, (x1 - x0) * s))
    for i in visible[(swept.radius[visible].max(-1) > _THINNEST)].tolist():
        buffer.add(i, swept)
    box = (x0, y0, x1, y1)
    turned = parts._replace(axis=parts.axis @ view.extrinsics.rotation.T)
    light = view.extrinsics.rotation @ _LIGHT
    _blend(picture[y0:y1, x0:x1], buffer.part, swept, turned, light, s, brightness)
    drawn = buffer.part >= 0
    return Layer(box, s, buffer.depth, np.where(drawn, owner[buffer.part], -1).astype(np.int16))


class _Swept(NamedTuple):
    """Capsules in the picture, in samples: start (P, 2), unit direction (P, 2), length (P,), radius (P, 2), depth at
    the start (P,) mm and its growth per sample, mm per sample (P,), and the slope of the axis away from the eye."""

    start: Floats
    direction: Floats
    length: Floats
    radius: Floats
    depth: Floats
    growth: Floats
    mm: Floats
    slope: Floats

    @classmethod
    def of(cls, ends: Floats, radius: Floats, depths: Floats, focal: float) -> _Swept:
        """ends (P, 2, 2) and radius (P, 2) in samples, depths (P, 2) mm, focal length in samples."""
        line = ends[:, 1] - ends[:, 0]
        # A limb that points at the eye has no direction in the picture, so any direction is correct.
        line = np.where(np.linalg.norm(line, axis=-1, keepdims=True) < 1e-3, (1e-3, 0.0), line)
        length = np.linalg.norm(line, axis=-1)
        mm = depths.mean(-1) / focal
        growth = (depths[:, 1] - depths[:, 0]) / length
        return cls(ends[:, 0], line / length[:, None], length, radius, depths[:, 0], growth, mm, growth / mm)


class _Buffer:
    """Per sample: depth mm, and the visible part."""

    def __init__(self, shape: tuple[int, int]):
        self.depth = np.full(shape, _FAR, np.float32)
        self.part = np.full(shape, -1, np.int16)
        self._x, self._y = np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32)[:, None]

    def add(self, number: int, swept: _Swept) -> None:
        """Draw one capsule. The ball visible at a sample is not the one beside it: on a slope, nearer balls hide
        others."""
        height, width = self.depth.shape
        (ax, ay), (ux, uy) = swept.start[number].tolist(), swept.direction[number].tolist()
        length, (ra, rb) = float(swept.length[number]), swept.radius[number].tolist()
        bx, by = ax + ux * length, ay + uy * length
        x0, x1 = max(int(min(ax - ra, bx - rb)), 0), min(int(max(ax + ra, bx + rb)) + 2, width)
        y0, y1 = max(int(min(ay - ra, by - rb)), 0), min(int(max(ay + ra, by + rb)) + 2, height)
        if x0 >= x1 or y0 >= y1:
            return
        dx, dy = self._x[x0:x1] - ax, self._y[y0:y1] - ay
        along, across = dx * ux + dy * uy, dy * ux - dx * uy
        across *= across
        slope = float(swept.slope[number])
        centre = np.sqrt(np.maximum(((ra + rb) / 2) ** 2 - across, 0))
        centre *= -slope / math.sqrt(1 + slope * slope)
        centre += along
        np.maximum(centre, 0, out=centre)
        np.minimum(centre, length, out=centre)
        along -= centre
        along *= along
        across += along
        square = centre * ((rb - ra) / length)
        square += ra
        square *= square
        square -= across
        inside = square > 0
        np.maximum(square, 0, out=square)
        np.sqrt(square, out=square)
        square *= -float(swept.mm[number])
        centre *= float(swept.growth[number])
        square += centre
        square += float(swept.depth[number])
        target = self.depth[y0:y1, x0:x1]
        inside &= square < target
        np.copyto(target, square, where=inside)
        np.copyto(self.part[y0:y1, x0:x1], np.int16(number), where=inside)


def _normals(part: npt.NDArray[np.int64], x: Floats, y: Floats, swept: _Swept) -> npt.NDArray[np.float32]:
    """Unit normals (N, 3), camera frame, of the parts at samples x, y (N,); the same geometry as `_Buffer.add`."""
    table = np.column_stack(
        [swept.start, swept.direction, swept.length, swept.radius, swept.slope / np.sqrt(1 + swept.slope**2)]
    ).astype(np.float32)
    ax, ay, ux, uy, length, ra, rb, lead = table.take(part, 0).T
    dx, dy = x - ax, y - ay
    along, across = dx * ux + dy * uy, dy * ux - dx * uy
    ahead = np.sqrt(np.maximum(((ra + rb) / 2) ** 2 - across * across, 0)) * lead
    centre = np.minimum(np.maximum(along - ahead, 0), length)
    off, r = along - centre, ra + (rb - ra) * (centre / length)
    rise = np.sqrt(np.maximum(r * r - across * across - off * off, 0))
    normals: npt.NDArray[np.float32] = (
        np.stack([off * ux - across * uy, off * uy + across * ux, -rise], -1) / r[:, None]
    )
    return normals


def _blend(
    area: Image, part: npt.NDArray[np.int16], swept: _Swept, parts: Capsules, light: Floats, s: int, brightness: float
) -> None:
    """Shade the covered samples and blend them into the picture, softly at the outline."""
    where = np.flatnonzero(part.ravel() >= 0)
    visible = part.ravel().take(where).astype(np.int64)
    y, x = np.divmod(where, part.shape[1])
    normal = _normals(visible, x.astype(np.float32), y.astype(np.float32), swept)
    axis = np.column_stack([parts.axis, parts.threshold]).astype(np.float32).take(visible, 0)
    front = (normal * axis[:, :3]).sum(-1) > axis[:, 3]
    paint = np.concatenate([parts.back, parts.front]).astype(np.float32).take(visible + len(parts.front) * front, 0)
    shade = 0.42 + 0.42 * np.maximum(normal @ light.astype(np.float32), 0) - 0.32 * normal[:, 2]
    colour = np.zeros((part.size, 4), np.uint8)
    colour[where, :3] = np.minimum(paint * (shade * brightness)[:, None], 255)
    colour[where, 3] = 255
    colour = colour.reshape(*part.shape, 4)
    if s > 1:
        colour = cv2.resize(colour, (area.shape[1], area.shape[0]), interpolation=cv2.INTER_AREA)
    transparency = 255 - colour[..., 3:].astype(np.uint16)
    area[:] = (area * transparency + 127) // 255 + colour[..., :3]


def shadow(picture: Image, view: CameraView, body: Capsules) -> None:
    """Darken the floor (z = 0) softly below the body's parts near the floor."""
    points = np.concatenate([body.start, body.end])
    low = points[points[:, 2] < _SHADOW_MM]
    if not len(low):
        return
    spread = np.array([[x, y, 0.0] for x in (-90.0, 90.0) for y in (-90.0, 90.0)])
    floor = ((low * (1.0, 1.0, 0.0))[:, None] + spread).reshape(-1, 3)
    pixels, projected = view.project(floor)
    if projected[:, 2].min() < _NEAR_MM:
        return
    hull = cv2.convexHull(pixels.astype(np.float32))[:, 0]
    soft = max(round(80 * float(view.camera.f.mean()) / float(projected[:, 2].mean())), 1)
    size = np.array(view.camera.size)
    x0, y0 = np.clip(np.floor(hull.min(0) - 2 * soft), 0, size).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(hull.max(0) + 2 * soft), 0, size).astype(int).tolist()
    if x0 >= x1 or y0 >= y1:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.float32)
    cv2.fillConvexPoly(mask, np.round(hull - (x0, y0)).astype(np.int32), 0.5)
    mask = cv2.blur(mask, (2 * soft + 1, 2 * soft + 1))
    area = picture[y0:y1, x0:x1]
    area[:] = (area * (1 - mask[..., None])).astype(np.uint8)
