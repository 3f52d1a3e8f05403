"""The fifteen actions as motions: joint angles as functions of time.

Every motion combines a typical movement of its action with slow, smooth noise, so that no two seconds are alike. Angles
are (flexion, side, twist) in degrees, see `skeleton`; the result is clipped to the anatomical limits.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sanpose.data.actions import action_number
from sanpose.data.synth.skeleton import FRAMES, INDEX, Floats, clip, mirrored

Angles = dict[str, tuple[float, float, float]]


class Moment(NamedTuple):
    """angles (F, 3) degrees, the pelvis row included; ground (2,) mm: the pelvis' position on the floor; seat: whether
    the person sits on a chair."""

    angles: Floats
    ground: Floats
    seat: bool


_SWAYS = 1024


@lru_cache(maxsize=64)
def _sways(seed: int) -> list[list[float]]:
    """Three rates and three phases (radians) for each of many named movements."""
    rng = np.random.default_rng([seed, 1])
    rows = np.concatenate([rng.uniform(0.45, 1.0, (_SWAYS, 3)), rng.uniform(0, 2 * np.pi, (_SWAYS, 3))], 1)
    table: list[list[float]] = rows.tolist()
    return table


class Wander:
    """Smooth noise over time, about [-1, 1]; equal seeds and names give equal noise."""

    def __init__(self, seed: int, t: float):
        self.seed, self.t = seed, t
        self._table = _sways(seed)

    def __call__(self, name: str, period: float = 5.0) -> float:
        """period: seconds of the fastest swing."""
        f, g, h, a, b, c = self._table[zlib.crc32(name.encode()) % _SWAYS]
        turn = 2 * math.pi * self.t / period
        return (math.sin(f * turn + a) + math.sin(g * turn + b) + math.sin(h * turn + c)) / 1.8

    def choice(self, name: str, count: int, period: float) -> tuple[int, int, float]:
        """Two of `count` poses, the current and the next, and the progress (0 .. 1) from one to the other."""
        turn, phase = divmod(self.t / period, 1.0)
        picks = [
            int(np.random.default_rng([self.seed, zlib.crc32(name.encode()), int(turn) + k]).integers(count))
            for k in (0, 1)
        ]
        ramp = min(max((phase - 0.6) / 0.4, 0.0), 1.0)
        return picks[0], picks[1], ramp * ramp * (3 - 2 * ramp)


def _arm(w: Wander, side: str, flexion: float, out: float, twist: float, elbow: float, sway: float = 8.0) -> Angles:
    """One arm near a typical position, with noise of about `sway` degrees."""
    return {
        f"{side}_arm": (
            flexion + sway * w(side + "flexion"),
            out + 0.7 * sway * w(side + "out"),
            twist + sway * w(side + "twist"),
        ),
        f"{side}_forearm": (elbow + 1.2 * sway * w(side + "elbow"), 0, 0),
        f"{side}_hand": (12 * w(side + "hand"), 0, 40 * w(side + "palm")),
    }


def _legs(w: Wander, flexion: float, out: float, twist: float, knee: float, sway: float = 5.0) -> Angles:
    """Both legs near the same position, each with its own noise."""
    angles: Angles = {}
    for side in ("right", "left"):
        angles[f"{side}_thigh"] = (
            flexion + sway * w(side + "hip"),
            out + 0.7 * sway * w(side + "spread"),
            twist + sway * w(side + "toes"),
        )
        bent = knee + 1.2 * sway * w(side + "knee")
        angles[f"{side}_shin"] = (bent, 0, 0)
        angles[f"{side}_foot"] = (max(bent, 0) - angles[f"{side}_thigh"][0], 0, 0)
    return angles


def _trunk(w: Wander, bend: float = 3.0, sway: float = 6.0) -> Angles:
    return {
        "spine": (bend / 2 + sway * w("bend"), 0.6 * sway * w("lean"), 0.6 * sway * w("turn")),
        "chest": (bend / 2 + sway * w("stoop"), 0.6 * sway * w("tilt"), 1.5 * sway * w("swivel")),
        "head": (5 + 10 * w("nod"), 8 * w("cock"), 25 * w("look")),
    }


def _standing(w: Wander) -> Angles:
    hanging = {**_arm(w, "right", 4, 10, 5, 14), **_arm(w, "left", 4, 10, 5, 14)}
    return {**_trunk(w), **_legs(w, 4, 5, -8, 8), **hanging}


def _seated(w: Wander) -> Angles:
    """On a chair, hands in the lap."""
    lap = {**_arm(w, "right", 32, 6, 30, 62, 12), **_arm(w, "left", 32, 6, 30, 62, 12)}
    return {**_trunk(w, 14, 8), **_legs(w, 84, 10, 0, 84, 9), **lap}


def _swing(w: Wander, period: float) -> float:
    """0 .. 1 and back, with pauses at both ends: a hand that moves to the mouth and returns."""
    return 0.5 + 0.5 * math.tanh(2.2 * math.sin(2 * math.pi * w.t / period + w("rest", 9)))


def _directions(w: Wander) -> Angles:
    reach = _swing(w, 4.0)
    pointing = _arm(w, "right", 30 + 55 * reach, 15 + 35 * w("aim", 4), 0, 45 - 35 * reach, 15)
    return {**_standing(w), **pointing, "head": (0, 0, -25 + 30 * w("look"))}


def _discussion(w: Wander) -> Angles:
    angles = _standing(w)
    for side in ("right", "left"):
        lift = 0.5 + 0.5 * w(side + "gesture", 2.0)
        angles |= _arm(w, side, 15 + 30 * lift, 12 + 12 * w(side, 2.5), 15 + 25 * w(side + "t", 2), 35 + 65 * lift, 14)
    return angles


def _eating(w: Wander) -> Angles:
    bite = _swing(w, 3.0)
    hand = _arm(w, "right", 28 + 22 * bite, 10 + 12 * bite, 35, 60 + 72 * bite, 5)
    return {**_seated(w), **hand, "head": (12 + 8 * bite, 0, 8 * w("look"))}


def _greeting(w: Wander) -> Angles:
    angles = _standing(w)
    kind, following, mix = w.choice("greeting", 3, 3.0)
    wave = 25 * math.sin(2 * math.pi * 1.3 * w.t)
    ways: list[Angles] = [
        _arm(w, "right", 30, 95, -60, 70 + wave),
        _arm(w, "right", 62, 8, 10, 28 + 0.4 * wave),
        {**_arm(w, "right", 12, 6, 20, 50), "spine": (38, 0, 0), "chest": (22, 0, 0), "head": (18, 0, 0)},
    ]
    return angles | _mixed({**angles, **ways[kind]}, {**angles, **ways[following]}, mix)


def _phoning(w: Wander) -> Angles:
    free = _arm(w, "left", 15, 12, 25, 50 + 35 * w("free"), 14)
    return {**_standing(w), **_arm(w, "right", 38, 32, 42, 138, 6), **free, "head": (4, 12, 15 * w("look"))}


def _posing(w: Wander) -> Angles:
    poses: list[tuple[tuple[float, float, float, float], tuple[float, float, float, float]]] = [
        ((-12, 48, 45, 88), (-12, 48, 45, 88)),
        ((150, 20, 0, 20), (150, 20, 0, 20)),
        ((0, 88, 0, 6), (0, 88, 0, 6)),
        ((-10, 45, 45, 90), (120, 55, -30, 115)),
        ((75, 0, 60, 95), (70, 0, 60, 90)),
        ((10, 150, 0, 90), (20, 20, 10, 20)),
        ((-30, 12, 20, 25), (-30, 12, 20, 25)),
    ]
    a, b, mix = w.choice("pose", len(poses), 3.0)

    def arms(n: int) -> Angles:
        return {**_arm(w, "right", *poses[n][0]), **_arm(w, "left", *poses[n][1])}

    stance = _legs(w, 6, 10 + 8 * w("stride"), -12, 10, 10)
    return {**_standing(w), **stance, **_mixed(arms(a), arms(b), mix)}


def _purchases(w: Wander) -> Angles:
    stoop = _swing(w, 6.0)
    angles = {**_trunk(w, 10 + 65 * stoop, 4), **_legs(w, 10 + 50 * stoop, 8, -8, 12 + 62 * stoop, 6)}
    for side in ("right", "left"):
        reach = 0.5 + 0.5 * w(side + "reach", 3.0)
        angles |= _arm(w, side, 25 + 50 * reach + 30 * stoop, 8, 10, 70 - 55 * stoop, 12)
    return angles


def _sitting(w: Wander) -> Angles:
    angles = _seated(w)
    a, b, mix = w.choice("sit", 4, 5.0)
    crossed: Angles = {"right_thigh": (104, -12, 0), "right_shin": (92, 0, 0)}
    behind = {**_arm(w, "right", 150, 40, 0, 135), **_arm(w, "left", 150, 40, 0, 135)}
    forward_ = {**_arm(w, "right", 62, 4, 20, 40), **_arm(w, "left", 62, 4, 20, 40), "spine": (28.0, 0.0, 0.0)}
    ways: list[Angles] = [{}, crossed, behind, forward_]
    return _mixed({**angles, **ways[a]}, {**angles, **ways[b]}, mix)


def _sitting_down(w: Wander) -> Angles:
    """On the floor: cross-legged, legs stretched, knees drawn up, squatting, kneeling, lying back."""
    ways: list[Angles] = [
        {**_legs(w, 85, 42, -40, 120), "pelvis": (-10, 0, 0), **_trunk(w, 24)},
        {**_legs(w, 88, 10, 0, 10, 10), "pelvis": (-12, 0, 0), **_trunk(w, 20)},
        {**_legs(w, 118, 8, 0, 118), "pelvis": (-12, 0, 0), **_trunk(w, 26),
         **_arm(w, "right", 62, 4, 20, 40), **_arm(w, "left", 62, 4, 20, 40)},
        {**_legs(w, 115, 18, -15, 135), "pelvis": (8, 0, 0), **_trunk(w, 30),
         **_arm(w, "right", 75, 0, 15, 40), **_arm(w, "left", 75, 0, 15, 40)},
        {**_legs(w, 30, 6, 0, 145), "pelvis": (0, 0, 0), **_trunk(w, 8)},
        {**_legs(w, 70, 10, 0, 80, 16), "pelvis": (-55, 10, 0), **_trunk(w, 25),
         **_arm(w, "right", -20, 25, 0, 85), **_arm(w, "left", -20, 25, 0, 85)},
    ]  # fmt: skip
    arms = {**_arm(w, "right", 25, 15, 20, 45, 16), **_arm(w, "left", 25, 15, 20, 45, 16)}
    a, b, mix = w.choice("floor", len(ways), 5.0)
    return _mixed({**arms, **ways[a]}, {**arms, **ways[b]}, mix)


def _smoking(w: Wander) -> Angles:
    puff = _swing(w, 4.5)
    hand = _arm(w, "right", 14 + 32 * puff, 14 + 8 * puff, 30, 60 + 72 * puff, 5)
    other = _arm(w, "left", 22, 2, 68, 92, 6)
    return {**_standing(w), **hand, **other, "head": (-6 + 8 * w("nod"), 0, 20 * w("look"))}


def _photo(w: Wander) -> Angles:
    crouch = max(w("crouch", 5), 0)
    camera = {**_arm(w, "right", 68, 2, 35, 118, 5), **_arm(w, "left", 64, 2, 35, 112, 5)}
    legs = _legs(w, 8 + 70 * crouch, 8, -8, 10 + 95 * crouch)
    return {**_trunk(w, 8 + 22 * crouch), **legs, **camera, "head": (6, 5 * w("cock"), 8 * w("look"))}


def _waiting(w: Wander) -> Angles:
    crossed = {**_arm(w, "right", 28, 2, 68, 98, 4), **_arm(w, "left", 32, 2, 62, 92, 4)}
    pockets = {**_arm(w, "right", -14, 20, 20, 42, 4), **_arm(w, "left", -14, 20, 20, 42, 4)}
    watch = _arm(w, "left", 45, 4, 45, 95, 4)
    ways: list[Angles] = [{}, crossed, pockets, watch]
    a, b, mix = w.choice("wait", 4, 4.0)
    base = {**_standing(w), **_legs(w, 6, 6, -12, 12, 9)}
    return _mixed({**base, **ways[a]}, {**base, **ways[b]}, mix)


def _walking(w: Wander, pace: float = 0.9, stride: float = 26.0) -> Angles:
    phase = 2 * math.pi * pace * w.t
    angles = _trunk(w, 6, 3)
    for side, lag in (("right", 0.0), ("left", math.pi)):
        s, c = math.sin(phase + lag), math.cos(phase + lag)
        hip, knee = 6 + stride * s, 8 + 52 * max(c, 0.0) ** 1.5 + 6 * max(s, 0.0)
        angles[f"{side}_thigh"], angles[f"{side}_shin"] = (hip, 3, -5), (knee, 0, 0)
        angles[f"{side}_foot"] = (10 * s - 12 * max(-s, 0.0) * max(c, 0.0), 0, 0)
        angles |= _arm(w, side, 2 - 0.9 * stride * s, 8, 5, 26 - 12 * s, 5)
    angles["chest"] = (4, 0, 7 * math.sin(phase))
    return angles


def _walk_dog(w: Wander) -> Angles:
    leash = _arm(w, "right", 34 + 20 * w("pull", 2), 10 + 12 * w("side", 3), 5, 28 + 18 * w("elbow", 2), 4)
    return {**_walking(w, 0.75, 22), **leash, "head": (18 + 8 * w("nod"), 0, -18 + 14 * w("look"))}


def _walk_together(w: Wander) -> Angles:
    linked = _arm(w, "left", 8, 24, 30, 72 + 10 * w("link"), 6)
    return {**_walking(w, 0.8, 20), **linked, "head": (4, 6, 42 + 20 * w("look"))}


def _mixed(a: Angles, b: Angles, share: float) -> Angles:
    """The pose at `share` of the way from a to b; a joint that only one pose sets keeps that value."""
    out: Angles = {}
    for name in {**a, **b}:
        first, second = a.get(name, b.get(name)), b.get(name, a.get(name))
        assert first is not None and second is not None
        x, y, z = (p + (q - p) * share for p, q in zip(first, second, strict=True))
        out[name] = (x, y, z)
    return out


_MOTIONS: dict[int, Callable[[Wander], Angles]] = {
    action_number(name): motion
    for name, motion in {
        "Directions": _directions, "Discussion": _discussion, "Eating": _eating, "Greeting": _greeting,
        "Phoning": _phoning, "Posing": _posing, "Purchases": _purchases, "Sitting": _sitting,
        "SittingDown": _sitting_down, "Smoking": _smoking, "Photo": _photo, "Waiting": _waiting, "Walking": _walking,
        "WalkDog": _walk_dog, "WalkTogether": _walk_together,
    }.items()
}  # fmt: skip
SEATED = {action_number(name) for name in ("Eating", "Sitting")}
WALKED = {action_number(name) for name in ("Walking", "WalkDog", "WalkTogether")}
_WALK_RADIUS_MM, _STAND_RADIUS_MM = 1050.0, 550.0
_CENTRE = np.array([100.0, 350.0])


def moment(action: int, seed: int, t: float) -> Moment:
    """The body at t seconds of an action (2 .. 16). seed: selects one performance of the action."""
    w = Wander(seed, t)
    rng = np.random.default_rng(seed)
    left_handed, start, turning = bool(rng.integers(2)), rng.uniform(0, 360), rng.choice([-1.0, 1.0])
    table = _MOTIONS[action](w)
    angles = np.zeros((len(FRAMES), 3))
    for name, values in table.items():
        angles[INDEX[name]] = values
    if left_handed:
        angles = mirrored(angles)
    if action in WALKED:
        # A circle at about 1 m/s, walked tangentially.
        bearing = start + turning * 48 * t + 25 * w("course", 8)
        radius = _WALK_RADIUS_MM * (0.8 + 0.2 * w("radius", 9))
        heading = bearing + 90 * turning
    else:
        # People turn to all sides during an action; chairs move between takes.
        bearing, heading = start + 200 * w("place", 20), start + 9 * turning * t + 60 * w("heading", 8)
        radius = _STAND_RADIUS_MM * abs(w("distance", 15))
    angles[0] += 0.0, 0.0, heading
    direction = np.array([math.cos(math.radians(bearing)), math.sin(math.radians(bearing))])
    return Moment(clip(angles), _CENTRE + radius * direction, action in SEATED)
