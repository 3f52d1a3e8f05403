"""What COCO's ground truth and results must hold to be scored. Each entry is checked, and the first wrong one named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sanpose.data.readers import entries
from sanpose.data.readers.coco_truth import PERSON, complete
from sanpose.errors import UserError

_NUMBERS: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("keypoints", (51,), "51 numbers: x, y, score of 17 joints"),
    ("score", (), "a number"),
    ("bbox", (4,), "x, y, width, height in px"),
    ("area", (), "px^2"),
)
_OPTIONAL = ("bbox", "area")


def checked_truth(ground_truth: Mapping[str, Any], where: object) -> dict[str, Any]:
    """The ground truth with what pycocotools reads of it: the images' ids, and the people.

    People are numbered from 1, whatever their ids: pycocotools takes one that is matched by number 0 for not matched,
    and of two with one id only the last. Entries of other categories are left out. Raises UserError for an entry that
    `coco_truth.complete` refuses, or whose image is not among the images.
    """
    images = [entries.integer(image, "id", f"{where}, images[{n}]") for n, image in enumerate(ground_truth["images"])]
    known = set(images)
    people: list[dict[str, Any]] = []
    for n, entry in enumerate(ground_truth["annotations"]):
        place = f"{where}, annotations[{n}]"
        if not _is_person(entry, place):
            continue
        person = complete(entry, place)
        if person["image_id"] not in known:
            raise UserError(f"image_id {person['image_id']} is not among the images", where=place)
        people.append({**person, "id": len(people) + 1})
    return {
        "images": [{"id": image} for image in dict.fromkeys(images)],
        "annotations": people,
        "categories": [{"id": PERSON, "name": "person"}],
    }


def _is_person(entry: Any, where: str) -> bool:
    named = isinstance(entry, dict) and entry.get("category_id") is not None
    return not named or entries.integer(entry, "category_id", where) == PERSON


def checked_results(predictions: Sequence[Mapping[str, Any]], where: object = None) -> list[dict[str, Any]]:
    """COCO's results, whose ids are integers and whose 51 keypoint numbers, score, and `bbox` and `area` where there
    are any, are finite; null fields are left out. Raises UserError naming the first (0-based) that is not so."""
    if not predictions:
        raise UserError("there are no predictions to score", where=where)
    prefix = "" if where is None else f"{where}, "
    return [_checked_result(prediction, f"{prefix}prediction {n}") for n, prediction in enumerate(predictions)]


def _checked_result(prediction: Mapping[str, Any], where: str) -> dict[str, Any]:
    checked: dict[str, Any] = {name: entries.integer(prediction, name, where) for name in ("image_id", "category_id")}
    for name, shape, expected in _NUMBERS:
        if name not in _OPTIONAL or prediction.get(name) is not None:
            checked[name] = entries.finite(prediction, name, shape, where, expected).tolist()
    return {**{name: value for name, value in prediction.items() if value is not None}, **checked}
