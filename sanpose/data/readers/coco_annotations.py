"""One person_keypoints_*.json of COCO: its images, its people, and the samples that are made of them.

Source: COCO's data format documentation. Pixels are 0-based in the files. Crowds are dropped, and boxes are clipped to
the image. For training, persons with fewer than 2 labelled joints are dropped too; the evaluation takes everyone with
a labelled joint, as HRNet and Simple Baselines do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sanpose.data import doubts
from sanpose.data.json_files import read_object
from sanpose.data.readers import entries, files
from sanpose.data.readers.coco_category import is_person, person_category
from sanpose.data.readers.coco_truth import AREA_OF_BOX, complete, triples
from sanpose.data.readers.listing import BadSamples, ImageFile, Listing, columns_of
from sanpose.errors import UserError

_MIN_LABELLED = {True: 2, False: 1}  # by: for training
_NOT_A_PERSON = "not a person"


class CocoImage(NamedTuple):
    """An entry of `images`."""

    id: int
    file_name: str
    width: int
    height: int


class CocoPerson(NamedTuple):
    """A person of any kind, crowds included. image: index of the file's images; where: file and entry."""

    image: int
    where: str
    entry: Mapping[str, object]


@dataclass(frozen=True)
class AnnotationFile:
    """One annotation file: its listing (without ground truth), and all that could be read, for the ground truth."""

    path: Path
    listing: Listing
    images: list[CocoImage]
    people: list[CocoPerson]
    categories: object
    person_id: int


def read_file(src: Path, path: Path, folder: Path | None, train: bool, bad: BadSamples) -> AnnotationFile:
    """Read one annotation file. folder: the images' folder, None to search for it below `src`; train: whether its
    people are for training. Raises UserError for a file that is broken or not COCO keypoints."""
    data = read_object(path)
    person_id = person_category(data.get("categories"), path)
    images = entries.parsed(data, "images", _image, path, bad)
    row = rows_by_id([image.id for image in images], f"{path}, images")
    rows: list[dict[str, object]] = []
    origin: list[str] = []
    people: list[CocoPerson] = []
    dropped: Counter[str] = Counter()
    numbers: Counter[int] = Counter()
    for n, (number, person) in enumerate(entries.parsed(data, "annotations", _numbered, path, bad)):
        numbers[number] += 1
        entry = f"{path}, annotation {number}" + (f" (entry {n})" if numbers[number] > 1 else "")
        try:
            entries.numbers(person, "bbox", (4,), entry, "x, y, width, height")
            reason = _rule(person, person_id, train, entry)
            image = _image_of(person, row, entry)
            if reason != _NOT_A_PERSON:
                complete(person, entry)  # raises what the evaluation would raise
            sample = None if reason else {**_person(person, images[image], entry), "image": image, "train": train}
        except UserError as error:
            bad.malformed(error)
            continue
        if reason != _NOT_A_PERSON:
            people.append(CocoPerson(image, entry, person))
        if sample is None:
            dropped[str(reason)] += 1
        else:
            rows.append(sample)
            origin.append(entry)
    listed = _image_files(src, path, folder, images)
    listing = Listing(
        "coco",
        listed,
        columns_of("coco", rows),
        np.array(origin, dtype=object),
        dropped=dropped,
        notes=_box_notes(path, images, people),
    )
    categories = data.get("categories") or [{"id": person_id, "name": "person"}]
    return AnnotationFile(path, listing, images, people, categories, person_id)


def _box_notes(path: Path, images: list[CocoImage], people: list[CocoPerson]) -> list[str]:
    boxes = np.array([person.entry["bbox"] for person in people], np.float64).reshape(-1, 4)
    sizes = np.array([images[person.image][2:] for person in people], np.float64).reshape(-1, 2)
    doubt = doubts.of_corner_boxes(boxes, sizes, "boxes")
    return [f"doubtful: {path.name}: {doubt}"] if doubt else []


def rows_by_id(ids: list[int], where: str) -> dict[int, int]:
    """The index of every image's entry by the image's id. Raises UserError where two entries have one id."""
    row: dict[int, int] = {}
    for n, number in enumerate(ids):
        first = row.setdefault(number, n)
        if first != n:
            raise UserError(
                f"two images have the id {number}: entries {first} and {n}",
                where=where,
                expected="an id of its own for every image",
                hint="number the images again, and the annotations' image_id with them",
            )
    return row


def _image_files(src: Path, path: Path, folder: Path | None, images: list[CocoImage]) -> list[ImageFile]:
    names = [f"images/{path.stem.split('_')[-1]}", path.stem.split("_")[-1], "images", "."]
    where = files.image_folder(src, folder, names, images[0].file_name if images else "")
    return [ImageFile(where / i.file_name, i.file_name, (i.width, i.height)) for i in images]


def _image(entry: object, where: str) -> CocoImage:
    identity, width, height = (entries.integer(entry, name, where) for name in ("id", "width", "height"))
    return CocoImage(identity, entries.text(entry, "file_name", where), width, height)


def _numbered(entry: object, where: str) -> tuple[int, dict[str, object]]:
    """A person's id, and the person."""
    identity = entries.integer(entry, "id", where)
    assert isinstance(entry, dict)
    return identity, entry


def _image_of(person: Mapping[str, object], row: Mapping[int, int], entry: str) -> int:
    image_id = entries.integer(person, "image_id", entry)
    if image_id not in row:
        raise UserError(f"image_id {image_id} is not among the images", where=entry)
    return row[image_id]


def _rule(person: Mapping[str, object], person_id: int, train: bool, entry: str) -> str | None:
    """The rule that drops a person, or None."""
    if not is_person(person, person_id, entry):
        return _NOT_A_PERSON
    if person.get("iscrowd", 0):
        return "crowd"
    labelled, least = int((triples(person, entry)[:, 2] > 0).sum()), _MIN_LABELLED[train]
    if labelled < least:
        return "no labelled joint" if not labelled else f"fewer than {least} labelled joints, for training"
    return None


def _person(person: Mapping[str, object], image: CocoImage, entry: str) -> dict[str, object]:
    """A person's values by column."""
    points = triples(person, entry)
    x, y, w, h = entries.numbers(person, "bbox", (4,), entry, "x, y, width, height").tolist()
    x0, y0 = max(x, 0.0), max(y, 0.0)
    box = (x0, y0, min(x + w, image.width) - x0, min(y + h, image.height) - y0)
    area = entries.number(person, "area", entry) if person.get("area") else AREA_OF_BOX * w * h
    return {
        "annotation": person["id"],
        "box": box,
        "keypoints": points[:, :2],
        # Only 0, 1 and 2 are defined; a larger mark still means a visible joint.
        "visible": np.nan_to_num(points[:, 2]).clip(0, 2),
        "area": area,
        "image_id": person["image_id"],
    }
