"""COCO keypoints: person_keypoints_*.json, the images, and person detections in COCO's result format.

Source: COCO's data format documentation. `coco_annotations` reads one annotation file; this module finds the files,
tells training from evaluation, and puts the files together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sanpose.data.array_files import Array
from sanpose.data.json_files import begins_with_object
from sanpose.data.packed import DETECTION
from sanpose.data.readers import files
from sanpose.data.readers.coco_annotations import AnnotationFile, read_file
from sanpose.data.readers.coco_detections import read_detections
from sanpose.data.readers.listed_truth import ListedPerson, ListedTruth
from sanpose.data.readers.listing import BadSamples, Listing, join

_ANNOTATIONS = ("annotations/person_keypoints_*.json", "person_keypoints_*.json", "annotations/*.json", "*.json")
_DETECTIONS = (
    "person_detection_results/*.json",
    "annotations/*det*.json",
    "*det*.json",
)


def read(
    src: Path,
    bad: BadSamples,
    *,
    annotations: Sequence[Path] = (),
    images: Path | None = None,
    detections: Path | None = None,
    split: str | None = None,
) -> Listing:
    """The listing of a COCO folder. Files that are None are searched in COCO's usual places.

    split: "train" or "val" for all persons; None: by each file's name (`files.is_training`). `truth` holds the
    images and people of the evaluation files (of all files without an evaluation split). Where two of these files share
    image ids, the later file's are shifted; a note says so. Raises UserError for files that are missing, broken, or not
    COCO keypoints, and for two images of one id in a file.
    """
    files.folder(src)
    paths = files.require(
        annotations or [path for path in files.find(src, _ANNOTATIONS) if begins_with_object(path)],
        "COCO's keypoint annotations",
        src,
        _ANNOTATIONS,
        "--annotations",
    )
    train = {path: split == "train" if split else files.is_training(path) for path in paths}
    parts = {path: read_file(src, path, images, train[path], bad) for path in paths}
    evaluated = [path for path in paths if not train[path]] or list(paths)
    shift = _shifts([parts[path] for path in evaluated])
    start = dict(zip(paths, np.cumsum([0, *(len(parts[path].images) for path in paths)]).tolist(), strict=False))
    listing = join([_shifted(parts[path].listing, shift.get(path, 0)) for path in paths])
    truth = _truth([parts[path] for path in evaluated], [start[path] for path in evaluated], shift)
    notes = [f"{path.name}: {'training' if train[path] else 'evaluation'} split" for path in paths]
    notes += [
        f"{path.name}: image ids shifted by {by}, as another file has them too" for path, by in shift.items() if by
    ]
    boxes = detections or next((p for p in files.find(src, _DETECTIONS) if not begins_with_object(p)), None)
    extra: dict[str, Array] = {"detections": np.zeros(0, DETECTION)}
    note = "detections: none found"
    if boxes:
        own = [parts[path] for path in evaluated]
        extra["detections"], note = read_detections(boxes, own, [start[path] for path in evaluated], bad)
    return replace(listing, extra=extra, truth=truth, notes=[*notes, note, *listing.notes])


def _shifts(evaluated: Sequence[AnnotationFile]) -> dict[Path, int]:
    """What to add to the image ids of each evaluation file, so that no two files share one."""
    taken: set[int] = set()
    shift: dict[Path, int] = {}
    for part in evaluated:
        ids = {image.id for image in part.images}
        by = max(taken) + 1 - min(ids) if taken & ids else 0
        taken |= {number + by for number in ids}
        shift[part.path] = by
    return shift


def _shifted(listing: Listing, by: int) -> Listing:
    columns = listing.columns
    return replace(listing, columns={**columns, "image_id": columns["image_id"] + by}) if by else listing


def _truth(evaluated: Sequence[AnnotationFile], starts: Sequence[int], shift: Mapping[Path, int]) -> ListedTruth:
    """The images and people of the evaluation files. starts: the row of each file's first image in the listing."""
    images: list[Mapping[str, object]] = []
    rows: list[int] = []
    people: list[ListedPerson] = []
    person_id = evaluated[0].person_id
    for part, start in zip(evaluated, starts, strict=True):
        first, by = len(images), shift[part.path]
        images += [{**image._asdict(), "id": image.id + by} for image in part.images]
        rows += range(start, start + len(part.images))
        for person in part.people:
            entry = {name: value for name, value in person.entry.items() if name != "segmentation"}
            entry |= {"image_id": part.images[person.image].id + by, "category_id": person_id}
            people.append(ListedPerson(first + person.image, person.where, entry))
    return ListedTruth(tuple(images), np.array(rows, np.int64), tuple(people), evaluated[0].categories)
