"""Joint sets: names, symmetric pairs, bones, and the maps between the data sets' orders and the training orders.

A training set is `h36m18` (the paper's 18 joints) or `union22` (these, then the eyes and ears that COCO AP needs).
Sources: Human3.6M's skeleton in the order used by integral regression (Sun et al. 2018); the MPII and COCO annotation
documentation. "Right" and "left" are the person's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class JointSet:
    """An ordered list of joints. `bones`: (parent, child) names."""

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """The position of a joint in the list."""
        return self.joints.index(joint)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Index pairs (right, left) that a mirror image swaps."""
        index = {n: i for i, n in enumerate(self.joints)}
        return tuple((i, index["left_" + n[6:]]) for i, n in enumerate(self.joints) if n.startswith("right_"))

    @cached_property
    def flip(self) -> npt.NDArray[np.int64]:
        """Permutation (J,): `pose[flip]` is the pose with its symmetric joints swapped."""
        order = np.arange(len(self))
        for a, b in self.pairs:
            order[a], order[b] = b, a
        return order

    @cached_property
    def bone_indices(self) -> tuple[tuple[int, int], ...]:
        """Index pairs (parent, child)."""
        return tuple((self.index(a), self.index(b)) for a, b in self.bones)


_H36M17 = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "torso", "neck", "nose",
    "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
_BODY_BONES = (
    ("pelvis", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("pelvis", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("pelvis", "torso"), ("torso", "neck"), ("neck", "nose"), ("nose", "head"),
    ("neck", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("neck", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
)  # fmt: skip
_FACE_BONES = (("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"))

H36M17 = JointSet("h36m17", _H36M17, _BODY_BONES)
H36M18 = JointSet("h36m18", (*_H36M17, "thorax"), _BODY_BONES)
UNION22 = JointSet(
    "union22", (*_H36M17, "thorax", "left_eye", "right_eye", "left_ear", "right_ear"), _BODY_BONES + _FACE_BONES
)
MPII16 = JointSet(
    "mpii16",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "neck",
        "head", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    ),
    (
        ("pelvis", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("pelvis", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("pelvis", "thorax"), ("thorax", "neck"), ("neck", "head"),
        ("thorax", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
        ("thorax", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ),
)  # fmt: skip
COCO17 = JointSet(
    "coco17",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    (
        ("left_hip", "right_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
        ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"), *_FACE_BONES,
    ),
)  # fmt: skip

NATIVE = {"h36m": H36M17, "mpii": MPII16, "coco": COCO17}
TRAINING = {"h36m18": H36M18, "union22": UNION22}

# Joints that a source does not annotate, as midpoints of two that it does.
_MIDPOINTS = {
    "h36m": {"thorax": ("left_shoulder", "right_shoulder")},
    "mpii": {},
    "coco": {"thorax": ("left_shoulder", "right_shoulder"), "pelvis": ("left_hip", "right_hip")},
}  # fmt: skip


def to_training(
    source: str, target: JointSet, points: npt.NDArray[np.floating], weight: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Native joints of a source in the order of a training set.

    points: (..., Jn, d); weight: (..., Jn), 0 where a joint is not labelled. Returns (..., J, d) and (..., J). A joint
    that the source lacks has weight 0 and coordinates 0; a midpoint's weight is the product of its two ends' weights.
    """
    native = NATIVE[source]
    out = np.zeros((*points.shape[:-2], len(target), points.shape[-1]), np.float32)
    w = np.zeros((*weight.shape[:-1], len(target)), np.float32)
    for j, name in enumerate(target.joints):
        if name in native.joints:
            i = native.index(name)
            out[..., j, :], w[..., j] = points[..., i, :], weight[..., i]
        elif name in _MIDPOINTS[source]:
            a, b = (native.index(n) for n in _MIDPOINTS[source][name])
            out[..., j, :] = (points[..., a, :] + points[..., b, :]) / 2
            w[..., j] = weight[..., a] * weight[..., b]
    return out, w


def from_training(source: str, target: JointSet) -> npt.NDArray[np.int64]:
    """Indices (Jn,) into a training set for each native joint of a source; -1 where the training set lacks it."""
    return np.array([target.joints.index(n) if n in target.joints else -1 for n in NATIVE[source].joints])
