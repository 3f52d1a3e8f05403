"""Person detections in COCO's result format, for the images of the evaluation files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanpose.data import doubts
from sanpose.data.json_files import read_list
from sanpose.data.packed import DETECTION
from sanpose.data.readers import entries
from sanpose.data.readers.coco_annotations import AnnotationFile
from sanpose.data.readers.coco_category import is_person
from sanpose.data.readers.listing import BadSamples
from sanpose.errors import UserError

_OTHER_CATEGORY, _OTHER_IMAGE = "of another category", "of an image that is not evaluated"


def read_detections(
    path: Path, evaluated: Sequence[AnnotationFile], starts: Sequence[int], bad: BadSamples
) -> tuple[npt.NDArray[np.void], str]:
    """The persons detected in the images of the evaluation files, in file order, and a note of what was passed over.

    starts: the row of each evaluation file's first image in the listing. A box without area is a bad sample. Raises
    UserError where two evaluation files have an image of the same id, and where no detection is of use.
    """
    row_of = _rows(evaluated, starts, path)
    person_ids = {part.person_id for part in evaluated}
    passed_over: Counter[str] = Counter()
    detected: list[tuple[int, int, tuple[float, ...], float]] = []
    for n, entry in enumerate(read_list(path)):
        where = f"{path}, detection {n}"
        try:
            image_id = entries.integer(entry, "image_id", where)
            if not any(is_person(entry, person_id, where) for person_id in person_ids):
                passed_over[_OTHER_CATEGORY] += 1
                continue
            if image_id not in row_of:
                passed_over[_OTHER_IMAGE] += 1
                continue
            box = entries.numbers(entry, "bbox", (4,), where, "x, y, width, height")
            score = entries.number(entry, "score", where)
        except UserError as error:
            bad.malformed(error)
            continue
        if not np.isfinite([*box, score]).all() or box[2:].min() <= 0:
            what = f"box {box.tolist()}, score {score}"
            bad.refuse("detection without area", what, where, "x, y, width, height")
            continue
        detected.append((image_id, row_of[image_id], tuple(box), score))
    note = "".join(f"; {count} passed over, {reason}" for reason, count in passed_over.items())
    if not detected:
        raise UserError(
            "no detection is of a person in an evaluation image" + note,
            where=path,
            expected=f"category_id {' or '.join(map(str, sorted(person_ids)))}, and an image_id of the annotation file",
            hint="pass the detections of the evaluation split: --detections FILE",
        )
    table = np.array(detected, DETECTION)
    doubt = _box_doubt(table, evaluated, starts)
    return table, f"detections: {path.name}, {len(detected)} persons{note}" + (f"; doubtful: {doubt}" if doubt else "")


def _box_doubt(
    detected: npt.NDArray[np.void], evaluated: Sequence[AnnotationFile], starts: Sequence[int]
) -> str | None:
    size_of = {
        start + n: (image.width, image.height)
        for part, start in zip(evaluated, starts, strict=True)
        for n, image in enumerate(part.images)
    }
    sizes = np.array([size_of[row] for row in detected["image"].tolist()], np.float64)
    return doubts.of_corner_boxes(detected["box"].astype(np.float64), sizes, "detected boxes")


def _rows(evaluated: Sequence[AnnotationFile], starts: Sequence[int], path: Path) -> dict[int, int]:
    """Rows of the listing by image id."""
    row_of: dict[int, int] = {}
    for part, start in zip(evaluated, starts, strict=True):
        for n, image in enumerate(part.images):
            if image.id in row_of:
                raise UserError(
                    f"the detections name image {image.id}, and two evaluation files have an image of that id",
                    where=path,
                    expected="one evaluation file, or different image ids in all of them",
                    hint="pack each evaluation file with its own detections: --annotations FILE --detections FILE",
                )
            row_of[image.id] = start + n
    return row_of
