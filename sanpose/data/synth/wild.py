"""Pictures in the wild: people of random build in varied poses, a random camera, and occluding objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sanpose.data.actions import ACTIONS
from sanpose.data.synth import motions, studio
from sanpose.data.synth.backdrop import backdrop, look_at
from sanpose.data.synth.landmarks import joints
from sanpose.data.synth.person import Capsules, Figure, SynthPerson, random_person, solid
from sanpose.data.synth.render import CameraView, Image, Layer, draw, shadow
from sanpose.data.synth.skeleton import LIMITS, Floats, Lengths, Posed, clip, forward
from sanpose.pose.cameras import Camera, Extrinsics

# The largest distance of a body's surface in front of its own joint, mm: joints lie inside limbs, faces on the surface.
_FLESH_MM, _FACE_MM = 165.0, 42.0
_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


@dataclass(frozen=True)
class ScenePerson:
    """One person in a picture. posed: in the world; owner: number in `Layer.owner`; area: visible px^2; box: x, y,
    width, height px of the visible part (zeros without one)."""

    posed: Posed
    lengths: Lengths
    owner: int
    area: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Scene:
    """A picture and its people."""

    picture: Image
    view: CameraView
    layer: Layer
    people: list[ScenePerson]

    def pixels(self, person: ScenePerson, names: tuple[str, ...]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Pixels (J, 2), 0-based, of a person's joints, and their visibility (J,): 0 outside the picture, or a part of
        the face hidden by its own head; 1 hidden; 2 visible."""
        pixels, points = self.view.project(joints(person.posed, person.lengths, names))
        size = np.array(self.view.camera.size)
        inside = ((pixels > -0.5) & (pixels < size - 0.5)).all(-1) & (points[:, 2] > 0)
        depth, owner = self.layer.nearest(np.where(inside[:, None], pixels, 0.0))
        face = np.array([name in _FACE for name in names])
        hidden = depth < points[:, 2] - np.where(face, _FACE_MM, _FLESH_MM)
        # Another body or an object hides every joint behind it.
        hidden |= (owner != person.owner) & (depth < points[:, 2])
        unlabelled = ~inside | (hidden & face & (owner == person.owner))
        return pixels, np.where(unlabelled, 0, np.where(hidden, 1, 2))


def scene(rng: np.random.Generator, size: tuple[int, int], count: int, *, oversampling: int) -> Scene:
    """A picture of `count` people. size: width, height px."""
    people = [random_person(rng) for _ in range(count)]
    places = np.zeros((count, 2))
    for i in range(1, count):
        bearing = rng.uniform(0, 2 * np.pi)
        places[i] = rng.uniform(450, 2300) * np.array([np.cos(bearing), np.sin(bearing)])
    bodies: list[Capsules] = []
    objects: list[Capsules] = []
    poses: list[Posed] = []
    for person, place in zip(people, places, strict=True):
        posed, body, seat = _place_person(rng, person, place)
        poses.append(posed)
        bodies.append(body)
        if seat is not None:
            objects.append(seat)
    height = float(max(poses[0].origin[:, 2].max(), 700.0))
    view = _camera(rng, size, height)
    if rng.random() < 0.25:
        objects.append(_occluder(rng, view, height))
    picture = backdrop(rng, view)
    for body in bodies:
        shadow(picture, view, body)
    layer = draw(picture, view, bodies + objects, oversampling=oversampling, brightness=float(rng.uniform(0.75, 1.12)))
    visible = [ScenePerson(poses[i], people[i].lengths, i, *_extent(layer, i)) for i in range(count)]
    return Scene(picture, view, layer, visible)


def _place_person(
    rng: np.random.Generator, person: SynthPerson, place: Floats
) -> tuple[Posed, Capsules, Capsules | None]:
    """A person in a random pose on the ground, and the chair, if any."""
    has_seat = False
    if rng.random() < 0.3:
        angles = _free(rng)
    else:
        action = int(rng.choice(list(ACTIONS)))
        now = motions.moment(action, int(rng.integers(1 << 31)), float(rng.uniform(0, 60)))
        has_seat = now.seat
        noise = rng.normal(0, 3 if has_seat else 10, now.angles.shape)
        noise[0] = (0, 0, rng.uniform(0, 360))
        angles = clip(now.angles + noise)
    posed = forward(angles, person.lengths, np.array([*place, 0.0]))
    body = Figure(person)(posed)
    lift = np.array([0.0, 0.0, -body.lowest()])
    posed, body = posed.moved(lift), body.moved(lift)
    chair = studio.chair(angles[0, 2], place, posed.origin[0, 2] - 105 * person.girth) if has_seat else None
    return posed, body, chair


def _free(rng: np.random.Generator) -> Floats:
    """Angles (F, 3) within the limits, mostly near their middle; the body may also leap, lie or stand upside down."""
    low, high = LIMITS[1:, :, 0], LIMITS[1:, :, 1]
    angles = np.zeros((len(LIMITS), 3))
    angles[1:] = low + (high - low) * rng.beta(1.6, 2.2, low.shape)
    angles[1:4] *= 0.6
    lean = (180, 90) if rng.random() < 0.12 else (30, 15)
    angles[0] = rng.normal(0, lean[0] / 2), rng.normal(0, lean[1] / 2), rng.uniform(0, 360)
    return angles


def _camera(rng: np.random.Generator, size: tuple[int, int], height: float) -> CameraView:
    """A camera that looks at a person `height` mm tall at the origin; a near camera cuts the person off."""
    width, rows = size
    half_angle = np.radians(rng.uniform(14, 33))
    f = max(width, rows) / 2 / np.tan(half_angle)
    share = rng.uniform(0.42, 0.92) if rng.random() < 0.8 else rng.uniform(0.95, 1.5)
    distance = max(f * height / (share * rows), 900.0)
    bearing, elevation = rng.uniform(0, 2 * np.pi), np.radians(np.clip(rng.normal(6, 10), -8, 45))
    target = np.array([*rng.normal(0, 130, 2), height * rng.uniform(0.4, 0.62)])
    flat = distance * np.cos(elevation)
    eye = np.array([flat * np.cos(bearing), flat * np.sin(bearing), target[2] + distance * np.sin(elevation)])
    eye[2] = max(eye[2], 250.0)
    rotation = look_at(eye, target, float(rng.normal(0, 3)))
    c = (np.array(size) - 1) / 2
    return CameraView(Camera("wild", size, np.array([f, f]), c), Extrinsics(rotation, -rotation @ eye, "X_c = R X + t"))


def _occluder(rng: np.random.Generator, view: CameraView, height: float) -> Capsules:
    """A post or a low wall between the camera and the people."""
    rotation = view.extrinsics.rotation
    eye = -rotation.T @ view.extrinsics.translation
    at = eye * rng.uniform(0.3, 0.6)
    side = rotation[0] * (1.0, 1.0, 0.0)
    r, g, b = rng.integers(40, 220, 3).tolist()
    if rng.random() < 0.5:
        foot = at * (1, 1, 0) + side * rng.normal(0, 220)
        return solid([[foot, foot + np.array([0.0, 0.0, 3000.0])]], float(rng.uniform(30, 85)), (r, g, b))
    top = at * (1, 1, 0) + np.array([0, 0, height * rng.uniform(0.1, 0.3)])
    start, end = top - 2500 * side, top + side * rng.uniform(0, 2500)
    return solid([[start - (0, 0, z), end - (0, 0, z)] for z in (0.0, 120.0, 240.0)], 75, (r, g, b))


def _extent(layer: Layer, owner: int) -> tuple[float, tuple[float, float, float, float]]:
    """Visible area px^2 and box (x, y, width, height) px of a body."""
    mask = layer.owner == owner
    s = layer.oversampling
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return 0.0, (0.0, 0.0, 0.0, 0.0)
    x, y = layer.box[0] + columns[0] / s, layer.box[1] + rows[0] / s
    w, h = (columns[-1] + 1 - columns[0]) / s, (rows[-1] + 1 - rows[0]) / s
    return float(mask.sum()) / s**2, (float(x), float(y), float(w), float(h))
