"""The jointed body: its frames, the anatomical limits of their angles, and forward kinematics.

Every frame has x forward, y to the person's left, z up while the person stands upright. A frame is turned against its
parent by (flexion, side, twist) in degrees: flexion bends the way the joint naturally bends, side moves a limb away
from the body (the trunk: to its right), twist turns a limb inwards (the trunk: to its left). World: z up, mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Frame(NamedTuple):
    """parent: a frame's name, itself for the root. signs: of the rotations about y, x, z for positive angles.
    limits: (low, high) degrees of flexion, side and twist."""

    name: str
    parent: str
    signs: tuple[int, int, int]
    limits: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


_FREE = (float("-inf"), float("inf"))
_ANY = (_FREE, _FREE, _FREE)
_STIFF = (0.0, 0.0)
_LUMBAR = ((-18.0, 45.0), (-20.0, 20.0), (-15.0, 15.0))
_THORACIC = ((-15.0, 40.0), (-20.0, 20.0), (-35.0, 35.0))
_NECK = ((-45.0, 45.0), (-35.0, 35.0), (-70.0, 70.0))
_HIP = ((-20.0, 125.0), (-25.0, 45.0), (-40.0, 40.0))
_KNEE = ((0.0, 150.0), _STIFF, _STIFF)
_ANKLE = ((-45.0, 25.0), (-15.0, 15.0), _STIFF)
_SHOULDER = ((-50.0, 180.0), (-30.0, 175.0), (-80.0, 90.0))
_ELBOW = ((0.0, 150.0), _STIFF, _STIFF)
_WRIST = ((-60.0, 70.0), (-20.0, 30.0), (-80.0, 80.0))


def _limbs(side: str, s: int) -> tuple[Frame, ...]:
    return (
        Frame(f"{side}_thigh", "pelvis", (-1, s, -s), _HIP),
        Frame(f"{side}_shin", f"{side}_thigh", (1, s, -s), _KNEE),
        Frame(f"{side}_foot", f"{side}_shin", (-1, s, -s), _ANKLE),
        Frame(f"{side}_arm", "chest", (-1, s, -s), _SHOULDER),
        Frame(f"{side}_forearm", f"{side}_arm", (-1, s, -s), _ELBOW),
        Frame(f"{side}_hand", f"{side}_forearm", (-1, s, -s), _WRIST),
    )


# The ranges follow the usual clinical norms (American Academy of Orthopaedic Surgeons), rounded.
FRAMES: tuple[Frame, ...] = (
    Frame("pelvis", "pelvis", (1, 1, 1), _ANY),
    Frame("spine", "pelvis", (1, 1, 1), _LUMBAR),
    Frame("chest", "spine", (1, 1, 1), _THORACIC),
    Frame("head", "chest", (1, 1, 1), _NECK),
    *_limbs("right", -1),
    *_limbs("left", 1),
)
INDEX = {frame.name: i for i, frame in enumerate(FRAMES)}
LIMITS: Floats = np.array([frame.limits for frame in FRAMES])
"""(F, 3, 2): lowest and highest flexion, side and twist of each frame, degrees."""
_PARENT = [INDEX[frame.parent] for frame in FRAMES]
_SIGNS = np.array([frame.signs for frame in FRAMES], np.float64)
_SWAP = np.array([INDEX[_mirror] for _mirror in (
    f.name.replace("right_", "@").replace("left_", "right_").replace("@", "left_") for f in FRAMES
)])  # fmt: skip
_TRUNK = np.array([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Lengths:
    """Bone lengths in mm. hip, shoulder: half the breadth; drop: of the shoulders below the base of the neck; head:
    scale of the head (1 = 188 mm from the base of the neck to the crown)."""

    hip: float = 132.0
    thigh: float = 445.0
    shin: float = 440.0
    spine: float = 232.0
    chest: float = 255.0
    shoulder: float = 150.0
    drop: float = 45.0
    upper_arm: float = 280.0
    forearm: float = 250.0
    head: float = 1.0

    def offsets(self) -> Floats:
        """(F, 3) mm: each frame's origin in its parent's frame."""
        out = np.zeros((len(FRAMES), 3))
        out[INDEX["chest"], 2], out[INDEX["head"], 2] = self.spine, self.chest
        for side, y in (("right", -1.0), ("left", 1.0)):
            out[INDEX[f"{side}_thigh"], 1] = y * self.hip
            out[INDEX[f"{side}_shin"], 2] = -self.thigh
            out[INDEX[f"{side}_foot"], 2] = -self.shin
            out[INDEX[f"{side}_arm"], 1:] = y * self.shoulder, self.chest - self.drop
            out[INDEX[f"{side}_forearm"], 2] = -self.upper_arm
            out[INDEX[f"{side}_hand"], 2] = -self.forearm
        return out


@dataclass(frozen=True)
class Posed:
    """rotation (F, 3, 3): frame to world; origin (F, 3): mm, world."""

    rotation: Floats
    origin: Floats

    def points(self, frame: npt.NDArray[np.integer], offset: Floats) -> Floats:
        """World positions (N, 3) mm of offsets (N, 3) mm in frames (N,)."""
        out: Floats = np.einsum("nij,nj->ni", self.rotation[frame], offset) + self.origin[frame]
        return out

    def moved(self, shift: Floats) -> Posed:
        return Posed(self.rotation, self.origin + shift)


def clip(angles: Floats) -> Floats:
    """Angles (F, 3) degrees within the anatomical limits."""
    out: Floats = np.clip(angles, LIMITS[..., 0], LIMITS[..., 1])
    return out


def mirrored(angles: Floats) -> Floats:
    """The mirror image of angles (F, 3): left and right limbs exchanged, the trunk bent and twisted the other way."""
    out: Floats = angles[_SWAP].copy()
    out[:4] *= _TRUNK
    return out


def forward(angles: Floats, lengths: Lengths, position: Floats) -> Posed:
    """Forward kinematics. angles (F, 3) degrees; position (3,) mm of the pelvis in the world.

    The pelvis row is (pitch forward, roll to the right, heading), applied as heading, then pitch, then roll.
    """
    flexion, side, twist = np.moveaxis(np.radians(angles) * _SIGNS, -1, 0)
    local = _about(1, flexion) @ _about(0, side) @ _about(2, twist)
    local[0] = _about(2, twist[:1])[0] @ _about(1, flexion[:1])[0] @ _about(0, side[:1])[0]
    offsets = lengths.offsets()
    rotation, origin = np.empty_like(local), np.empty((len(FRAMES), 3))
    rotation[0], origin[0] = local[0], position
    for i, parent in enumerate(_PARENT[1:], 1):
        rotation[i] = rotation[parent] @ local[i]
        origin[i] = origin[parent] + rotation[parent] @ offsets[i]
    return Posed(rotation, origin)


def _about(axis: int, angle: Floats) -> Floats:
    """Rotation matrices (N, 3, 3) about a coordinate axis by angles (N,) radians."""
    out = np.zeros((len(angle), 3, 3))
    j, k = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1
    out[:, j, j] = out[:, k, k] = np.cos(angle)
    out[:, k, j] = np.sin(angle)
    out[:, j, k] = -out[:, k, j]
    return out
