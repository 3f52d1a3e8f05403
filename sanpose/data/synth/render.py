"""Draws capsules into a picture: a depth buffer of balls swept along lines, shaded once where they are seen.

Each capsule's ends are projected exactly (lens distortion included); between them it is drawn as if seen from far
away, which is off by less than a pixel for a limb. Colours are red, green, blue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sanpose.data.cameras import Camera, Extrinsics, project
from sanpose.data.synth.person import Capsules
from sanpose.data.synth.skeleton import Floats

Image = npt.NDArray[np.uint8]
_NEAR_MM = 250.0
_FAR = np.float32(1e9)
_LIGHT = np.array([0.35, 0.25, 0.9]) / np.linalg.norm([0.35, 0.25, 0.9])


@dataclass(frozen=True)
class View:
    """A camera that stands somewhere."""

    camera: Camera
    extrinsics: Extrinsics

    def project(self, world: Floats) -> tuple[Floats, Floats]:
        """World points (..., 3) mm -> pixels (..., 2) and camera-frame points (..., 3) mm."""
        points = self.extrinsics.apply(world)
        c = self.camera
        return project(points, c.f, c.c, c.k, c.p), points


@dataclass(frozen=True)
class Layer:
    """What was drawn: `box` x0, y0, x1, y1 px; depth mm (`inf`-like where empty) and owner (-1 where empty), both
    (h * oversampling, w * oversampling) over the box."""

    box: tuple[int, int, int, int]
    oversampling: int
    depth: npt.NDArray[np.float32]
    owner: npt.NDArray[np.int16]

    def nearest(self, pixels: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Depth mm (N,) and owner (N,) seen at pixels (N, 2); infinity and -1 where nothing was drawn."""
        x, y = np.floor((pixels.T + 0.5 - np.array(self.box[:2])[:, None]) * self.oversampling).astype(np.int64)
        height, width = self.depth.shape
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        x, y = np.where(inside, x, 0), np.where(inside, y, 0)
        if not self.depth.size:
            return np.full(len(pixels), np.inf), np.full(len(pixels), -1)
        return np.where(inside, self.depth[y, x], np.inf), np.where(inside, self.owner[y, x], -1)


def draw(picture: Image, view: View, bodies: list[Capsules], *, oversampling: int, brightness: float = 1.0) -> Layer:
    """Draw bodies (world, mm) onto a picture (H, W, 3) in place; bodies hide one another by depth.

    oversampling: samples per pixel and axis. Returns what covers which pixel; an owner is the body's position in the
    list.
    """
    parts = Capsules(*(np.concatenate(values) for values in zip(*bodies, strict=True)))
    owner = np.repeat(np.arange(len(bodies)), [len(body.start) for body in bodies])
    camera = view.camera
    pixels, points = view.project(np.stack([parts.start, parts.end], 1))
    ahead = (points[..., 2] > _NEAR_MM).all(-1)
    safe = np.where(ahead[:, None], points[..., 2], 1e6)
    radius = parts.radius * camera.f.mean() / safe
    low, high = (pixels - radius[..., None]).min(1) - 1, (pixels + radius[..., None]).max(1) + 2
    size = np.array(camera.size)
    seen = np.flatnonzero(ahead & (high > 0).all(-1) & (low < size).all(-1))
    if not len(seen):
        return Layer((0, 0, 0, 0), oversampling, np.zeros((0, 0), np.float32), np.zeros((0, 0), np.int16))
    x0, y0 = np.clip(np.floor(low[seen].min(0)), 0, size).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(high[seen].max(0)), 0, size).astype(int).tolist()
    s = oversampling
    buffer = _Buffer(((y1 - y0) * s, (x1 - x0) * s))
    shifted = (pixels - (x0, y0) + 0.5) * s - 0.5
    for i in seen.tolist():
        buffer.add(i, shifted[i], radius[i] * s, points[i, :, 2], float(camera.f.mean()) * s)
    box = (x0, y0, x1, y1)
    turned = parts._replace(axis=parts.axis @ view.extrinsics.rotation.T)
    light = view.extrinsics.rotation @ _LIGHT
    _blend(picture[y0:y1, x0:x1], buffer, turned, light, s, brightness)
    drawn = buffer.part >= 0
    return Layer(box, s, buffer.depth, np.where(drawn, owner[buffer.part], -1).astype(np.int16))


class _Buffer:
    """Per sample: depth mm, the surface's normal in the camera frame, and the part that is seen."""

    def __init__(self, shape: tuple[int, int]):
        self.depth = np.full(shape, _FAR, np.float32)
        self.normal = np.zeros((*shape, 3), np.float32)
        self.part = np.full(shape, -1, np.int16)

    def add(self, number: int, ends: Floats, radii: Floats, depths: Floats, focal: float) -> None:
        """One capsule. ends (2, 2) and radii (2,) in samples, depths (2,) mm, focal length in samples."""
        height, width = self.depth.shape
        reach = radii[:, None]
        x0, y0 = np.maximum(np.floor((ends - reach).min(0)), 0).astype(int).tolist()
        x1, y1 = np.ceil((ends + reach).max(0)).astype(int).tolist()
        x1, y1 = min(x1 + 1, width), min(y1 + 1, height)
        if x0 >= x1 or y0 >= y1:
            return
        (ax, ay), (bx, by) = ends.tolist()
        ra, rb = radii.tolist()
        za, zb = depths.tolist()
        mm = (za + zb) / 2 / focal  # mm per sample at the part's distance
        length = max(math.hypot(bx - ax, by - ay), 1e-3)
        ux, uy = (bx - ax) / length, (by - ay) / length
        slope = (zb - za) / mm / length
        dx = np.arange(x0, x1, dtype=np.float32)[None] - np.float32(ax)
        dy = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(ay)
        along = dx * ux + dy * uy
        across = dx * -uy + dy * ux
        across2 = across * across
        # The ball that is seen at a sample is not the one beside it: along a slope the nearer balls stand in front.
        share = np.clip(along * (1 / length), 0, 1)
        r = ra + (rb - ra) * share
        ahead = np.sqrt(np.maximum(r * r - across2, 0)) * (slope / math.sqrt(1 + slope * slope))
        centre = np.clip(along - ahead, 0, length)
        r = ra + (rb - ra) / length * centre
        off = along - centre
        square = r * r - across2 - off * off
        height_ = np.sqrt(np.maximum(square, 0))
        depth = za + (zb - za) / length * centre - height_ * mm
        target = self.depth[y0:y1, x0:x1]
        won = (square > 0) & (depth < target)
        np.copyto(target, depth, where=won)
        self.part[y0:y1, x0:x1][won] = number
        inverse = 1 / r[won]
        off, across = off[won], across[won]
        normal = np.stack([off * ux - across * uy, off * uy + across * ux, -height_[won]], -1)
        self.normal[y0:y1, x0:x1][won] = normal * inverse[:, None]


def _blend(area: Image, buffer: _Buffer, parts: Capsules, light: Floats, s: int, brightness: float) -> None:
    """Shade the samples that are covered and mix them into the picture, softly at the outline."""
    covered = buffer.part >= 0
    part, normal = buffer.part[covered], buffer.normal[covered]
    facing = np.einsum("nc,nc->n", normal, parts.axis.astype(np.float32)[part])
    front = facing > parts.threshold.astype(np.float32)[part]
    paint = np.where(front[:, None], parts.front.astype(np.float32)[part], parts.back.astype(np.float32)[part])
    shade = 0.42 + 0.42 * np.maximum(normal @ light.astype(np.float32), 0) - 0.32 * normal[:, 2]
    colour = np.zeros((*covered.shape, 4), np.float32)
    colour[covered, :3] = np.minimum(paint * (shade * brightness)[:, None], 255)
    colour[covered, 3] = 1
    if s > 1:
        colour = cv2.resize(colour, (area.shape[1], area.shape[0]), interpolation=cv2.INTER_AREA)
    area[:] = (area * (1 - colour[..., 3:]) + colour[..., :3] + 0.5).astype(np.uint8)
