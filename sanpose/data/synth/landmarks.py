"""The positions of each data set's joints on the jointed body."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sanpose.data.synth.skeleton import INDEX, Floats, Lengths, Posed

# Human3.6M's and COCO's names -> the frame whose origin the joint is.
_ORIGIN = {
    "pelvis": "pelvis", "torso": "chest", "neck": "head",
    **{f"{side}_{joint}": f"{side}_{frame}" for side in ("right", "left") for joint, frame in (
        ("hip", "thigh"), ("knee", "shin"), ("ankle", "foot"), ("shoulder", "arm"), ("elbow", "forearm"),
        ("wrist", "hand"))},
}  # fmt: skip
# In the head's frame, mm, at head scale 1. MPII's neck lies at the chin's height, above Human3.6M's base of the neck.
_HEAD = {
    "nose": (78.0, 0.0, 92.0), "head": (2.0, 0.0, 188.0), "left_eye": (70.0, 32.0, 118.0),
    "right_eye": (70.0, -32.0, 118.0), "left_ear": (2.0, 74.0, 100.0), "right_ear": (2.0, -74.0, 100.0),
    "upper_neck": (8.0, 0.0, 45.0),
}  # fmt: skip


def joints(posed: Posed, lengths: Lengths, names: Sequence[str]) -> Floats:
    """World positions (J, 3) mm of named joints; "thorax" is the middle of the shoulders."""
    frame, offset = [], []
    for name in names:
        frame.append(INDEX["head" if name in _HEAD else _ORIGIN.get(name, "chest")])
        if name in _HEAD:
            offset.append(np.array(_HEAD[name]) * lengths.head)
        elif name == "thorax":
            offset.append(np.array([0.0, 0.0, lengths.chest - lengths.drop]))
        else:
            offset.append(np.zeros(3))
    return posed.points(np.array(frame), np.array(offset))
