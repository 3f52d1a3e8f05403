"""COCO keypoints: person_keypoints_*.json, the images, and person detections in COCO's result format.

Source: COCO's data format documentation. Pixels are 0-based in the files. Crowds and persons with fewer than 2 labelled
joints are dropped, as in other top-down methods; boxes are clipped to the image.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanpose.data.array_files import Array
from sanpose.data.json_files import read_list, read_object
from sanpose.data.packed import DETECTION
from sanpose.data.readers import entries, files
from sanpose.data.readers.coco_truth import AREA_OF_BOX, PERSON, complete, triples
from sanpose.data.readers.listing import BadSamples, ImageFile, Listing, columns_of, join, text_array
from sanpose.errors import UserError

_ANNOTATIONS = ("annotations/person_keypoints_*.json", "person_keypoints_*.json", "annotations/*.json", "*.json")
_DETECTIONS = (
    "person_detection_results/*.json",
    "annotations/*det*.json",
    "*det*.json",
)
_MIN_LABELLED = 2
_NOT_A_PERSON = "not a person"


class _CocoImage(NamedTuple):
    """An entry of `images`."""

    id: int
    file_name: str
    width: int
    height: int


class _Annotations(NamedTuple):
    """One annotation file: its listing, and the entries that could be read, for the ground truth."""

    listing: Listing
    images: list[_CocoImage]
    persons: list[dict[str, object]]
    categories: object


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

    split: "train" or "val" for all persons; None: by each file's name (`train` in it). `extra["ground_truth"]` holds
    the annotation JSON without segments, of the evaluation images (of all images without an evaluation split). Raises
    UserError for files that are missing, broken, or not COCO keypoints.
    """
    files.folder(src)
    paths = files.require(
        annotations or [path for path in files.find(src, _ANNOTATIONS) if _is_object(path)],
        "COCO's keypoint annotations",
        src,
        _ANNOTATIONS,
        "--annotations",
    )
    train = {path: split == "train" if split else "train" in path.name for path in paths}
    parts = {path: _read_file(src, path, images, train[path], bad) for path in paths}
    listing = join([part.listing for part in parts.values()])
    evaluated = [part for path, part in parts.items() if not train[path]] or list(parts.values())
    boxes = detections or next((p for p in files.find(src, _DETECTIONS) if not _is_object(p)), None)
    extra: dict[str, Array] = {"ground_truth": text_array(_ground_truth(evaluated))}
    extra["detections"] = _read_detections(boxes, listing, evaluated, bad) if boxes else np.zeros(0, DETECTION)
    note = f"detections: {boxes.name if boxes else 'none found'}"
    names = [f"{path.name}: {'training' if train[path] else 'evaluation'} split" for path in paths]
    return replace(listing, extra=extra, notes=[*names, note])


def _is_object(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"{")


def _read_file(src: Path, path: Path, folder: Path | None, train: bool, bad: BadSamples) -> _Annotations:
    data = read_object(path)
    images = entries.parsed(data, "images", _image, path, bad)
    row = {image.id: n for n, image in enumerate(images)}
    rows: list[dict[str, object]] = []
    origin: list[str] = []
    persons = []
    dropped: Counter[str] = Counter()
    for number, person in entries.parsed(data, "annotations", _numbered, path, bad):
        entry = f"{path}, annotation {number}"
        try:
            entries.numbers(person, "bbox", (4,), entry, "x, y, width, height")
            reason = _rule(person, entry)
            image = _image_of(person, row, entry)
            if reason != _NOT_A_PERSON:
                complete(person, entry)  # raises what the evaluation would raise
            sample = None if reason else {**_person(person, images[image], entry), "image": image, "train": train}
        except UserError as error:
            bad.malformed(error)
            continue
        persons.append(person)
        if sample is None:
            dropped[str(reason)] += 1
        else:
            rows.append(sample)
            origin.append(entry)
    names = [f"images/{path.stem.split('_')[-1]}", path.stem.split("_")[-1], "images", "."]
    where = files.image_folder(src, folder, names, images[0].file_name if images else "")
    listed = [ImageFile(where / i.file_name, i.file_name, (i.width, i.height)) for i in images]
    listing = Listing("coco", listed, columns_of("coco", rows), np.array(origin, dtype=object), dropped=dropped)
    return _Annotations(listing, images, persons, data.get("categories", [{"id": PERSON, "name": "person"}]))


def _image(entry: object, where: str) -> _CocoImage:
    identity, width, height = (entries.integer(entry, name, where) for name in ("id", "width", "height"))
    return _CocoImage(identity, entries.text(entry, "file_name", where), width, height)


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


def _rule(person: Mapping[str, object], entry: str) -> str | None:
    """The rule of COCO's that drops a person, or None."""
    if person.get("category_id", PERSON) != PERSON:
        return _NOT_A_PERSON
    if person.get("iscrowd", 0):
        return "crowd"
    if (triples(person, entry)[:, 2] > 0).sum() < _MIN_LABELLED:
        return f"fewer than {_MIN_LABELLED} labelled joints"
    return None


def _person(person: Mapping[str, object], image: _CocoImage, entry: str) -> dict[str, object]:
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


def _ground_truth(parts: Sequence[_Annotations]) -> str:
    """COCO's annotation JSON of several files, without segments. A missing area is 0.53 of the box."""
    persons = [
        _without_segment(person)
        for part in parts
        for person in part.persons
        if person.get("category_id", PERSON) == PERSON
    ]
    return json.dumps(
        {
            "info": {},
            "images": [image._asdict() for part in parts for image in part.images],
            "annotations": persons,
            "categories": parts[0].categories,
        }
    )


def _without_segment(person: Mapping[str, object]) -> dict[str, object]:
    entry = {name: value for name, value in person.items() if name != "segmentation"}
    if not entry.get("area"):
        entry["area"] = AREA_OF_BOX * float(np.prod(entries.numbers(person, "bbox", (4,), "")[2:]))
    entry.setdefault("iscrowd", 0)
    if "num_keypoints" not in entry:
        entry["num_keypoints"] = 0 if entry["iscrowd"] else int((triples(person, "")[:, 2] > 0).sum())
    return entry


def _read_detections(
    path: Path, listing: Listing, parts: Sequence[_Annotations], bad: BadSamples
) -> npt.NDArray[np.void]:
    """The persons detected in the evaluation images `parts`, in file order; a box without area is a bad sample."""
    name_of = {image.id: image.file_name for part in parts for image in part.images}
    row = {image.name: n for n, image in enumerate(listing.images)}
    detected: list[tuple[int, int, tuple[float, ...], float]] = []
    for n, entry in enumerate(read_list(path)):
        where = f"{path}, detection {n}"
        try:
            image_id = entries.integer(entry, "image_id", where)
            assert isinstance(entry, dict)
            if entry.get("category_id", PERSON) != PERSON or image_id not in name_of:
                continue
            box = entries.numbers(entry, "bbox", (4,), where, "x, y, width, height")
            score = entries.number(entry, "score", where)
        except UserError as error:
            bad.malformed(error)
            continue
        if not np.isfinite([*box, score]).all() or box[2:].min() <= 0:
            bad.refuse("detection without area", f"box {entry['bbox']}, score {score}", where, "x, y, width, height")
            continue
        detected.append((image_id, row[name_of[image_id]], tuple(box), score))
    return np.array(detected, DETECTION)
