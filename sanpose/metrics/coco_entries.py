"""Checks of COCO's ground truth and results before they are scored. An error names the first wrong entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from sanpose.data.readers import entries
from sanpose.data.readers.coco_annotations import rows_by_id
from sanpose.data.readers.coco_category import PERSON, is_person, person_category
from sanpose.data.readers.coco_truth import TruthPerson, complete
from sanpose.errors import UserError

_KEYPOINTS = "51 numbers: x, y, score of 17 joints"


class ResultEntry(TypedDict):
    """One entry of COCO's results. keypoints: x, y (px, 0-based) and score of 17 joints; bbox: x, y, width, height px;
    area: px^2."""

    image_id: int
    category_id: int
    keypoints: list[float]
    score: float
    bbox: NotRequired[list[float]]
    area: NotRequired[float]


class CocoJson(TypedDict):
    """COCO's ground truth as read from a file: lists of entries that are not checked yet."""

    images: list[object]
    annotations: list[object]
    categories: NotRequired[list[object]]


class ImageId(TypedDict):
    """An image of the ground truth."""

    id: int


class NumberedPerson(TruthPerson):
    """A person of the ground truth with a number of its own."""

    id: int


class GroundTruth(TypedDict):
    """The part of COCO's ground truth that pycocotools reads."""

    images: list[ImageId]
    annotations: list[NumberedPerson]
    categories: list[dict[str, object]]


def checked_truth(ground_truth: CocoJson, where: object) -> GroundTruth:
    """The ground truth with the fields that pycocotools reads: the images' ids, and the people.

    People are numbered from 1, whatever their ids: pycocotools treats a match with the id 0 as no match, and keeps only
    the last of two people with one id. Entries of other categories are left out; the people get the category PERSON.
    Raises UserError for two images of one id, for an entry that `coco_truth.complete` refuses, and for one whose image
    is not among the images.
    """
    person_id = person_category(ground_truth.get("categories"), where)
    listed = enumerate(ground_truth["images"])
    row = rows_by_id([entries.integer(image, "id", f"{where}, images[{n}]") for n, image in listed], f"{where}, images")
    people: list[NumberedPerson] = []
    for n, entry in enumerate(ground_truth["annotations"]):
        place = f"{where}, annotations[{n}]"
        if not is_person(entry, person_id, place):
            continue
        person = complete(entry, place)
        if person["image_id"] not in row:
            raise UserError(f"image_id {person['image_id']} is not among the images", where=place)
        people.append({**person, "id": len(people) + 1})
    return {
        "images": [{"id": image} for image in row],
        "annotations": people,
        "categories": [{"id": PERSON, "name": "person"}],
    }


def results_of_people(predictions: Sequence[ResultEntry], ground_truth: CocoJson, where: object) -> list[ResultEntry]:
    """The results that are of people, by the ground truth's categories, with the category PERSON.

    Raises UserError where none is.
    """
    person_id = person_category(ground_truth.get("categories"), where)
    people: list[ResultEntry] = [
        {**prediction, "category_id": PERSON} for prediction in predictions if prediction["category_id"] == person_id
    ]
    if not people:
        others = sorted({prediction["category_id"] for prediction in predictions})
        raise UserError(
            f"no prediction is of a person: their category_id is {', '.join(map(str, others[:5]))}",
            where=where,
            expected=f"category_id {person_id}, the ground truth's person",
        )
    return people


def checked_results(predictions: Sequence[Mapping[str, object]], where: object = None) -> list[ResultEntry]:
    """COCO's results: integer ids, and finite numbers in keypoints, score, and (where present) bbox and area.

    Null fields and fields of other names are left out. Raises UserError naming the first wrong prediction (0-based).
    """
    if not predictions:
        raise UserError("there are no predictions to score", where=where)
    prefix = "" if where is None else f"{where}, "
    return [_checked_result(prediction, f"{prefix}prediction {n}") for n, prediction in enumerate(predictions)]


def _checked_result(prediction: Mapping[str, object], where: str) -> ResultEntry:
    checked: ResultEntry = {
        "image_id": entries.integer(prediction, "image_id", where),
        "category_id": entries.integer(prediction, "category_id", where),
        "keypoints": entries.finite(prediction, "keypoints", (51,), where, _KEYPOINTS).tolist(),
        "score": float(entries.finite(prediction, "score", (), where, "a number")),
    }
    if prediction.get("bbox") is not None:
        checked["bbox"] = entries.finite(prediction, "bbox", (4,), where, "x, y, width, height in px").tolist()
    if prediction.get("area") is not None:
        checked["area"] = float(entries.finite(prediction, "area", (), where, "px^2"))
    return checked
