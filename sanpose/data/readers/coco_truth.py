"""The fields that COCO's evaluation needs of a person in the ground truth, and the defaults of fields that may lack.

`data prepare coco` checks the annotations that it packs for the evaluation; `metrics coco` checks any file's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from sanpose.data.readers import entries
from sanpose.data.readers.coco_category import PERSON
from sanpose.errors import UserError
from sanpose.pose.joints import COCO17

# The usual convention for a person without a segment.
AREA_OF_BOX = 0.53
_JOINTS = len(COCO17)

Doubles = npt.NDArray[np.float64]


class TruthPerson(TypedDict):
    """A person as pycocotools reads it. keypoints: x, y (px) and visibility per joint; bbox: x, y, width, height px."""

    image_id: int
    category_id: int
    keypoints: list[float]
    num_keypoints: int
    bbox: list[float]
    area: float
    iscrowd: int


def complete(annotation: object, where: object) -> TruthPerson:
    """A person with every field that the evaluation needs.

    num_keypoints is the number of labels, whatever the annotation says. Defaults of missing or null fields: keypoints
    are unlabelled, iscrowd is 0, the box is the labelled joints' extent, the area is 0.53 of the annotation's box; an
    area of 0 is a missing area. Coordinates of unlabelled joints that are not finite become 0. Raises UserError for any
    other field that is missing, malformed or not finite.
    """
    image = entries.integer(annotation, "image_id", where)
    assert isinstance(annotation, dict)
    points = triples(annotation, where)
    labelled = points[:, 2] > 0
    _require_finite(points, labelled, where)
    if annotation.get("num_keypoints") is not None:
        entries.integer(annotation, "num_keypoints", where)
    return {
        "image_id": image,
        "category_id": PERSON,
        "keypoints": np.where(np.isfinite(points), points, 0.0).ravel().tolist(),
        "num_keypoints": int(labelled.sum()),
        "bbox": _box(annotation, points[labelled, :2], where),
        "area": _area(annotation, where),
        "iscrowd": _crowd(annotation, where),
    }


def triples(annotation: Mapping[str, object], where: object) -> Doubles:
    """x, y, visibility of the 17 joints (17, 3); zeros without keypoints. Raises UserError for another shape."""
    keypoints = annotation.get("keypoints")
    if keypoints is None or (isinstance(keypoints, list) and not keypoints):
        return np.zeros((_JOINTS, 3))
    expected, hint = f"{_JOINTS} joints, x y v each", "convert the labels to COCO's 17 joints; docs/data.md lists them"
    points = entries.numbers(annotation, "keypoints", (_JOINTS * 3,), where, expected, hint)
    return points.reshape(_JOINTS, 3)


def _require_finite(points: Doubles, labelled: npt.NDArray[np.bool_], where: object) -> None:
    broken = np.flatnonzero(labelled & ~np.isfinite(points).all(-1))
    if len(broken):
        names = ", ".join(COCO17.joints[j] for j in broken)
        raise UserError(f"keypoints are not finite: {names}", where=where, expected="numbers where a joint is labelled")


def _box(annotation: Mapping[str, object], labelled: Doubles, where: object) -> list[float]:
    """x, y, width, height px. The evaluation uses the box only of people without a labelled joint."""
    if annotation.get("bbox") is not None:
        return [float(v) for v in entries.finite(annotation, "bbox", (4,), where, "x, y, width, height")]
    if not len(labelled):
        raise UserError("there is neither 'bbox' nor a labelled joint", where=where, expected="x, y, width, height")
    low, high = labelled.min(0), labelled.max(0)
    return [*low.tolist(), *(high - low).tolist()]


def _area(annotation: Mapping[str, object], where: object) -> float:
    has_area, has_box = (annotation.get(name) is not None for name in ("area", "bbox"))
    if not has_area and not has_box:
        raise UserError("there is neither 'area' nor 'bbox'", where=where, expected="px^2; x, y, width, height")
    area = float(entries.finite(annotation, "area", (), where, "px^2")) if has_area else 0.0
    if area < 0:
        raise UserError(f"the area is {area:g} px^2", where=where, expected="0 or more")
    if area or not has_box:
        return area
    width, height = entries.finite(annotation, "bbox", (4,), where, "x, y, width, height")[2:].tolist()
    return float(AREA_OF_BOX * width * height)


def _crowd(annotation: Mapping[str, object], where: object) -> int:
    value = annotation.get("iscrowd") or 0
    if value not in (0, 1):
        raise UserError(f"'iscrowd' is {value!r:.80}", where=where, expected="0 or 1")
    return int(value)
