"""The studio: Human3.6M's four cameras with their calibration, and the room, a chair and a dog."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import TypedDict

import numpy as np

from sanpose.data.synth.person import Capsules, join, solid
from sanpose.data.synth.render import CameraView, Image
from sanpose.data.synth.skeleton import Floats
from sanpose.pose.cameras import SERIALS, Camera, Extrinsics, undistort

# The room's inside, mm: x, y from wall to wall, z from the floor to the ceiling.
_LOW, _HIGH = np.array([-3700.0, -5900.0, 0.0]), np.array([3700.0, 5900.0, 2900.0])
_CARPET = (2600.0, 3900.0)
# On a wall (its axis, which end): rectangles low corner, high corner (along the wall, height) mm, colour.
_FITTINGS: dict[tuple[int, int], list[tuple[float, float, float, float, tuple[int, int, int]]]] = {
    (1, 0): [(-2600, 900, -200, 2100, (205, 200, 198)), (1000, 0, 1900, 2050, (120, 92, 70))],
    (1, 1): [(-1500, 850, 1500, 2000, (232, 226, 220)), (2100, 1500, 3000, 1560, (150, 140, 135))],
    (0, 0): [(-1900, 150, -500, 900, (206, 198, 190)), (1200, 150, 2600, 900, (206, 198, 190)),
             (-4200, 1600, -3000, 1650, (140, 130, 126))],
    (0, 1): [(-2300, 150, -900, 900, (206, 198, 190)), (800, 1500, 2600, 1560, (150, 140, 135)),
             (3300, 0, 4300, 2050, (128, 100, 78))],
}  # fmt: skip


class _Intrinsics(TypedDict):
    width: int
    height: int
    f: list[float]
    c: list[float]
    k: list[float]
    p: list[float]


class _Pose(TypedDict):
    camera_to_world: list[list[float]]
    centre: list[float]


class _Calibration(TypedDict):
    """h36m_cameras.json: intrinsics by serial number, poses by subject and serial number."""

    intrinsics: dict[str, _Intrinsics]
    extrinsics: dict[str, dict[str, _Pose]]


@lru_cache(maxsize=1)
def _calibration() -> _Calibration:
    text = resources.files("sanpose.data.synth").joinpath("h36m_cameras.json").read_text("utf-8")
    table: _Calibration = json.loads(text)
    return table


def view(subject: int, number: int, scale: float) -> CameraView:
    """Human3.6M's camera `number` (1 .. 4) in its position for a subject, with a scaled picture (1 = 1000 px wide).

    Pixel centres are whole numbers, so a scaled principal point is (c + 0.5) * scale - 0.5.
    """
    serial = SERIALS[number - 1]
    inner = _calibration()["intrinsics"][serial]
    outer = _calibration()["extrinsics"][str(subject)][serial]
    full = np.array([inner["width"], inner["height"]])
    size = np.maximum(np.round(full * scale), 1).astype(int)
    ratio = size / full
    f, c = np.array(inner["f"]) * ratio, (np.array(inner["c"]) + 0.5) * ratio - 0.5
    camera = Camera(
        f"S{subject}.{serial}", (int(size[0]), int(size[1])), f, c, np.array(inner["k"]), np.array(inner["p"])
    )
    rotation = np.array(outer["camera_to_world"]).T
    return CameraView(camera, Extrinsics(rotation, -rotation @ np.array(outer["centre"]), "X_c = R X + t"))


def room(view: CameraView) -> Image:
    """The empty studio (H, W, 3) RGB in a camera's view: a ray per pixel to the nearest wall, floor or ceiling."""
    camera = view.camera
    width, height = camera.size
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float64)
    straight = undistort(pixels, camera.f, camera.c, camera.k, camera.p)
    rays = np.concatenate([(straight - camera.c) / camera.f, np.ones((height, width, 1))], -1)
    rotation = view.extrinsics.rotation
    rays = rays @ rotation  # the transpose of the world-to-camera rotation, applied from the left
    centre = -rotation.T @ view.extrinsics.translation
    with np.errstate(divide="ignore"):
        reach = np.where(rays > 0, _HIGH - centre, _LOW - centre) / rays
    axis = reach.argmin(-1)
    hit = centre + rays * reach.min(-1, keepdims=True)
    colour = np.empty((height, width, 3))
    for a in range(3):
        for end in (0, 1):
            mine = (axis == a) & ((np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0) == bool(end))
            colour[mine] = _surface(a, end, hit[mine])
    colour *= 1.04 - 0.012 * np.linalg.norm(hit - centre, axis=-1, keepdims=True) / 1000
    return np.clip(colour, 0, 255).astype(np.uint8)


def _surface(axis: int, end: int, hit: Floats) -> Floats:
    """Colours (n, 3) of points (n, 3) mm on one of the room's six sides."""
    if axis == 2:
        return _floor(hit) if not end else np.tile([176.0, 160.0, 154.0], (len(hit), 1))
    along, height = hit[:, 1 - axis], hit[:, 2]
    colour = np.tile([222.0, 204.0, 192.0], (len(hit), 1))
    lamps = 0.97 + 0.16 * np.exp(-(((along % 2400) - 1200) ** 2) / 5e5 - ((height - 1900) ** 2) / 1.2e6)
    colour *= lamps[:, None] * (0.94 if axis else 1.0)
    for x0, z0, x1, z1, paint in _FITTINGS[axis, end]:
        inside = (along > x0) & (along < x1) & (height > z0) & (height < z1)
        radiator = z0 == 150
        ribs = 0.9 + 0.1 * np.sign(np.sin(along[inside] / 18)) if radiator else np.ones(int(inside.sum()))
        colour[inside] = np.array(paint, np.float64) * ribs[:, None]
    colour[height < 90] = (110, 88, 76)
    return colour


def _floor(hit: Floats) -> Floats:
    x, y = hit[:, 0], hit[:, 1]
    planks = 0.92 + 0.08 * np.sign(np.sin(y / 60 * np.pi))
    colour = np.array([150.0, 104.0, 74.0]) * planks[:, None]
    carpet = (np.abs(x) < _CARPET[0]) & (np.abs(y) < _CARPET[1])
    weave = 1 + 0.05 * np.sin(x[carpet] / 23) * np.sin(y[carpet] / 19)
    colour[carpet] = np.array([112.0, 40.0, 42.0]) * weave[:, None]
    tape = carpet & (np.abs(x % 1300 - 650) < 90) & (np.abs(y % 1300 - 650) < 14)
    colour[tape] = (214, 206, 200)
    return colour


def chair(heading: float, place: Floats, seat: float) -> Capsules:
    """A wooden chair: heading in degrees, place (2,) mm of the middle of its seat, height of the seat in mm."""
    half, back = 195.0, 430.0
    r = 14.0
    corners = [(-1, -1), (-1, 1), (1, 1), (1, -1)]
    legs = [((x * half, y * half, r), (x * half, y * half, seat - 20)) for x, y in corners]
    slats = [((-half, y, seat - 22), (half, y, seat - 22)) for y in np.linspace(-half, half, 8)]
    posts = [((-half - 35, y * half, seat - 20), (-half - 70, y * half, seat + back)) for y in (-1, 1)]
    rails = [((-half - 55, -half, seat + z), (-half - 55, half, seat + z)) for z in (170, 290, back)]
    points = np.array([*legs, *slats, *posts, *rails], np.float64)
    radii = np.array([r] * 4 + [27] * 8 + [r] * 2 + [24] * 3, np.float64)[:, None]
    return solid(_placed(points, heading, place), radii, (122, 84, 52))


def dog(heading: float, place: Floats, t: float) -> Capsules:
    """A dog at t seconds of its walk: heading in degrees, place (2,) mm."""
    step = 70 * np.sin(2 * np.pi * 1.6 * t + np.array([0.0, np.pi, np.pi, 0.0]))
    hips = [(-190.0, -60.0), (-190.0, 60.0), (190.0, -60.0), (190.0, 60.0)]
    legs = [((x, y, 330.0), (x + s, y, 22.0)) for (x, y), s in zip(hips, step, strict=True)]
    trunk = [
        ((-200, 0, 370), (200, 0, 385)), ((200, 0, 400), (300, 0, 500)), ((310, 0, 510), (430, 0, 480)),
        ((-230, 0, 400), (-360, 0, 520)), ((295, -55, 540), (300, -70, 480)), ((295, 55, 540), (300, 70, 480)),
    ]  # fmt: skip
    radii = np.array([(38, 20)] * 4 + [(95, 110), (75, 62), (62, 34), (26, 12), (22, 16), (22, 16)], np.float64)
    body = solid(_placed(np.array([*legs, *trunk], np.float64), heading, place), radii, (168, 120, 70))
    leash = solid(_placed(np.array([[(190, 0, 440), (180, 0, 520)]], np.float64), heading, place), 62, (150, 30, 34))
    return join([body, leash])


def _placed(points: Floats, heading: float, place: Floats) -> Floats:
    c, s = np.cos(np.radians(heading)), np.sin(np.radians(heading))
    turned = points @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    out: Floats = turned + np.array([place[0], place[1], 0.0])
    return out
