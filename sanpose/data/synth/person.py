"""A person's build and clothes, and the capsules that form the drawn body.

A capsule is the hull of two balls. Its colour is `front` where the surface faces along `axis` and `back` elsewhere, so
that pictures distinguish face and hair, chest and back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanpose.data.synth.skeleton import INDEX, Floats, Lengths, Posed

Colour = tuple[int, int, int]
"""Red, green, blue, 0 .. 255."""


@dataclass(frozen=True)
class SynthPerson:
    """girth: scale of all thicknesses. sleeve, leg: 0 bare, 1 to the elbow or knee, 2 to the wrist or ankle."""

    lengths: Lengths
    girth: float
    skin: Colour
    hair: Colour
    long_hair: bool
    shirt: Colour
    emblem: Colour
    trousers: Colour
    shoes: Colour
    sleeve: int
    leg: int


class Capsules(NamedTuple):
    """start, end: (P, 3) mm; radius: (P, 2) mm at the ends; front, back: (P, 3) colours; axis: (P, 3) unit vectors;
    threshold: (P,) cosine from which the surface counts as front."""

    start: Floats
    end: Floats
    radius: Floats
    front: Floats
    back: Floats
    axis: Floats
    threshold: Floats

    def lowest(self) -> float:
        """Height in mm of the lowest point, where z is up."""
        ends = np.stack([self.start[:, 2], self.end[:, 2]], -1) - self.radius
        return float(ends.min())

    def moved(self, shift: Floats) -> Capsules:
        return self._replace(start=self.start + shift, end=self.end + shift)


def join(parts: list[Capsules]) -> Capsules:
    return Capsules(*(np.concatenate(values) for values in zip(*parts, strict=True)))


class _Part(NamedTuple):
    """One capsule: from an offset in one frame to an offset in another. axis: in the first frame."""

    a: str
    start: tuple[float, float, float]
    b: str
    end: tuple[float, float, float]
    radii: tuple[float, float]
    front: Colour
    back: Colour
    axis: tuple[float, float, float] = (1.0, 0.0, 0.0)
    threshold: float = -2.0


def _build(size: float, girth: float, *, legs: float = 1.0, arms: float = 1.0, breadth: float = 1.0) -> Lengths:
    n = Lengths()
    return Lengths(
        hip=n.hip * size * breadth,
        thigh=n.thigh * size * legs,
        shin=n.shin * size * legs,
        spine=n.spine * size,
        chest=n.chest * size,
        shoulder=n.shoulder * size * breadth * (0.9 + 0.1 * girth),
        drop=n.drop * size,
        upper_arm=n.upper_arm * size * arms,
        forearm=n.forearm * size * arms,
        head=0.5 + 0.5 * size,
    )


_PALE, _OLIVE, _BROWN = (226, 178, 150), (205, 150, 116), (128, 84, 60)

SUBJECTS: dict[int, SynthPerson] = {
    1: SynthPerson(_build(0.96, 0.92, breadth=0.95), 0.92, _PALE, (48, 30, 22), True, (92, 40, 52), (190, 150, 150),
              (60, 70, 130), (60, 60, 66), 1, 1),
    5: SynthPerson(_build(0.94, 0.98, legs=0.98, breadth=0.97), 0.98, _OLIVE, (24, 20, 20), True, (58, 64, 104),
              (150, 170, 210), (40, 38, 42), (180, 180, 178), 0, 1),
    6: SynthPerson(_build(1.06, 1.02, legs=1.02), 1.02, _PALE, (122, 88, 50), False, (40, 108, 72), (214, 222, 160),
              (70, 74, 84), (46, 34, 26), 1, 2),
    7: SynthPerson(_build(0.97, 0.95, arms=0.98), 0.95, _PALE, (34, 24, 20), False, (196, 56, 50), (240, 196, 160),
              (34, 104, 88), (222, 220, 214), 0, 1),
    8: SynthPerson(_build(1.02, 1.06, arms=1.03), 1.06, _OLIVE, (28, 24, 24), False, (208, 208, 206), (70, 80, 100),
              (36, 40, 54), (24, 24, 26), 1, 1),
    9: SynthPerson(_build(1.04, 1.12, breadth=1.03), 1.12, _PALE, (70, 50, 34), False, (62, 82, 150), (226, 210, 120),
              (112, 96, 74), (40, 40, 44), 1, 2),
    11: SynthPerson(_build(0.99, 1.0, legs=1.01), 1.0, _BROWN, (18, 14, 14), False, (216, 160, 56), (90, 50, 30),
               (52, 54, 62), (200, 200, 200), 2, 2),
}  # fmt: skip
"""Human3.6M's training (1, 5, 6, 7, 8) and test (9, 11) subjects' stand-ins, each with a different build."""


def random_person(rng: np.random.Generator) -> SynthPerson:
    """Someone of random build, skin, hair and clothes."""

    def colour(low: int = 20, high: int = 235) -> Colour:
        # Cloth seldom has a pure colour.
        vivid, grey = rng.integers(low, high, 3), rng.integers(low, high)
        r, g, b = (0.6 * vivid + 0.4 * grey).astype(int).tolist()
        return r, g, b

    mix, age = rng.random(2)
    skin = tuple(round(p + (b - p) * mix) for p, b in zip(_PALE, _BROWN, strict=True))
    hair = tuple(round(h * age) for h in (170, 130, 90))
    girth = float(rng.uniform(0.88, 1.2))
    lengths = _build(
        float(rng.uniform(0.9, 1.1)), girth, legs=float(rng.uniform(0.95, 1.05)),
        arms=float(rng.uniform(0.96, 1.04)), breadth=float(rng.uniform(0.93, 1.06)),
    )  # fmt: skip
    return SynthPerson(
        lengths, girth, (skin[0], skin[1], skin[2]), (hair[0] + 10, hair[1] + 10, hair[2] + 10),
        bool(rng.random() < 0.4), colour(), colour(), colour(15, 190), colour(15, 235),
        int(rng.integers(0, 3)), int(rng.integers(0, 3)),
    )  # fmt: skip


def _darker(colour: Colour, by: float = 0.72) -> Colour:
    r, g, b = (round(c * by) for c in colour)
    return r, g, b


def _torso(p: SynthPerson) -> Iterator[_Part]:
    n, dark, print_ = p.lengths, _darker(p.shirt), p.emblem
    waist = (p.lengths.hip + p.lengths.shoulder) * 0.2
    # Three columns make a broad and flat trunk; the middle column fills the groove between the outer two.
    for y in (-1.0, 0.0, 1.0):
        thick = 1.0 if y else 1.06
        low, high = (0.0, 0.53 * y * n.hip, -15.0), (0.0, y * waist, 0.6 * n.spine)
        yield _Part("pelvis", low, "spine", high, (104 * thick, 88 * thick), p.trousers, _darker(p.trousers, 0.85))
        base, top = (4.0, y * waist, -0.35 * n.spine), (0.0, 0.52 * y * n.shoulder, 0.56 * n.chest)
        yield _Part("chest", base, "chest", top, (90 * thick, 98 * thick), p.shirt, dark, (1, 0, 0), 0.0)
        if y:
            neck = (-8.0, 0.0, 8.0)
            slope = (-8.0, 0.8 * y * n.shoulder, n.chest - n.drop - 12)
            yield _Part("head", neck, "chest", slope, (46, 54), p.shirt, dark, (1, 0, 0), 0.0)
    # A print on the chest, slightly in front of the shirt, so that front and back differ at any size.
    for y in (-0.2 * n.shoulder, 0.2 * n.shoulder):
        yield _Part("chest", (20.0, y, 0.0), "chest", (22.0, y, 0.4 * n.chest), (90, 96), print_, p.shirt,
                    (1, 0, 0), 0.72)  # fmt: skip


def _head(p: SynthPerson) -> Iterator[_Part]:
    s = p.lengths.head
    dark = (30, 22, 22)

    def at(x: float, y: float, z: float) -> tuple[float, float, float]:
        return x * s, y * s, z * s

    face = (0.84, 0.0, -0.54)
    yield _Part("head", at(-6, 0, -25), "head", at(8, 0, 50), (52, 50), p.skin, _darker(p.skin, 0.85), (1, 0, 0), 0.0)
    yield _Part("head", at(-6, 0, 116), "head", at(6, 0, 104), (88 * s, 84 * s), p.skin, p.hair, face, -0.1)
    yield _Part("head", at(26, 0, 62), "head", at(14, 0, 100), (50 * s, 72 * s), p.skin, p.hair, face, -0.3)
    yield _Part("head", at(76, 0, 112), "head", at(88, 0, 88), (9, 14), p.skin, p.skin)
    yield _Part("head", at(66, -17, 56), "head", at(66, 17, 56), (10, 10), (150, 62, 58), p.skin)
    for y in (-1.0, 1.0):
        yield _Part("head", at(79, 30 * y, 118), "head", at(79, 36 * y, 118), (11, 10), dark, dark)
        yield _Part("head", at(77, 22 * y, 140), "head", at(70, 46 * y, 138), (7, 6), p.hair, p.hair)
        yield _Part("head", at(0, 80 * y, 88), "head", at(-6, 84 * y, 112), (13, 16), p.skin, p.skin)
    if p.long_hair:
        yield _Part("head", at(-34, 0, 130), "head", at(-66, 0, 10), (80 * s, 46), p.hair, p.hair)


def _arm(p: SynthPerson, side: str) -> Iterator[_Part]:
    n, y = p.lengths, -1.0 if side == "right" else 1.0
    arm, forearm, hand = f"{side}_arm", f"{side}_forearm", f"{side}_hand"
    upper = p.shirt if p.sleeve else p.skin
    lower = p.shirt if p.sleeve == 2 else p.skin
    half = (0.0, 0.0, -0.62 * n.upper_arm)
    yield _Part(arm, (0, -4 * y, -6), arm, half, (56, 47), upper, _darker(upper), (1, 0, 0), -0.35)
    bare = p.skin if p.sleeve < 2 else p.shirt
    yield _Part(arm, half, forearm, (0, 0, 0), (42, 39), bare, _darker(bare, 0.86), (1, 0, 0), -0.35)
    yield _Part(forearm, (0, 0, -8), forearm, (0, 0, -0.95 * n.forearm), (40, 28), lower, _darker(lower, 0.86),
                (1, 0, 0), -0.35)  # fmt: skip
    yield _Part(hand, (0, 0, -8), hand, (4, 0, -88), (29, 24), p.skin, p.skin)
    yield _Part(hand, (10, 0, -30), hand, (34, -6 * y, -74), (14, 10), p.skin, p.skin)


def _leg(p: SynthPerson, side: str) -> Iterator[_Part]:
    n = p.lengths
    thigh, shin, foot = f"{side}_thigh", f"{side}_shin", f"{side}_foot"
    cloth = _darker(p.trousers, 0.85)
    half = (0.0, 0.0, -0.6 * n.thigh)
    lower = p.trousers if p.leg else p.skin
    yield _Part(thigh, (0, 0, -20), thigh, half, (92, 72), p.trousers, cloth, (1, 0, 0), -0.3)
    yield _Part(thigh, half, shin, (0, 0, 0), (70, 57), lower, _darker(lower, 0.85), (1, 0, 0), -0.3)
    calf = p.trousers if p.leg == 2 else p.skin
    yield _Part(
        shin, (-4, 0, -10), shin, (-14, 0, -0.32 * n.shin), (54, 56), calf, _darker(calf, 0.85), (1, 0, 0), -0.3
    )
    yield _Part(shin, (-14, 0, -0.32 * n.shin), shin, (0, 0, -0.95 * n.shin), (56, 38), calf, _darker(calf, 0.85),
                (1, 0, 0), -0.3)  # fmt: skip
    yield _Part(foot, (-32, 0, -38), foot, (70, 0, -38), (40, 38), p.shoes, p.shoes)
    yield _Part(foot, (70, 0, -42), foot, (150, 0, -48), (37, 29), p.shoes, _darker(p.shoes))


_GIRTH_FREE = {"head"}


class Figure:
    """A person's capsules in their frames, ready to be posed many times."""

    def __init__(self, person: SynthPerson):
        parts = [*_torso(person), *_head(person)]
        for side in ("right", "left"):
            parts += [*_arm(person, side), *_leg(person, side)]
        self.person = person
        self._frames = np.array([(INDEX[p.a], INDEX[p.b]) for p in parts])
        self._start, self._end = np.array([p.start for p in parts]), np.array([p.end for p in parts])
        girth = np.array([1.0 if p.a in _GIRTH_FREE else person.girth for p in parts])
        self._radius = np.array([p.radii for p in parts]) * girth[:, None]
        self._front = np.array([p.front for p in parts], np.float64)
        self._back = np.array([p.back for p in parts], np.float64)
        axis = np.array([p.axis for p in parts], np.float64)
        self._axis = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
        self._threshold = np.array([p.threshold for p in parts])

    def __call__(self, posed: Posed) -> Capsules:
        """The capsules (world, mm) of the posed body."""
        axis = np.einsum("nij,nj->ni", posed.rotation[self._frames[:, 0]], self._axis)
        start = posed.points(self._frames[:, 0], self._start)
        end = posed.points(self._frames[:, 1], self._end)
        return Capsules(start, end, self._radius, self._front, self._back, axis, self._threshold)


def solid(points: npt.ArrayLike, radii: npt.ArrayLike, colour: Colour) -> Capsules:
    """Plain capsules of one colour, for furniture and animals: points (P, 2, 3) mm, radii (P, 2) or scalar, mm."""
    ends = np.asarray(points, np.float64)
    count = len(ends)
    radius = np.broadcast_to(np.asarray(radii, np.float64), (count, 2))
    paint = np.tile(np.array(colour, np.float64), (count, 1))
    up = np.tile([0.0, 0.0, 1.0], (count, 1))
    return Capsules(ends[:, 0], ends[:, 1], radius, paint, paint, up, np.full(count, -2.0))
