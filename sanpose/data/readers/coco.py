"""COCO keypoints: person_keypoints_*.json, the images, and person detections in COCO's result format.

Source: COCO's data format documentation. Pixels are 0-based as written. Crowds and persons with fewer than 2 labelled
joints are dropped, as top-down methods do; boxes are clipped to the image.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanpose.data.packed import DETECTION
from sanpose.data.readers import entries, files
from sanpose.data.readers.coco_truth import AREA_OF_BOX, PERSON, complete, triples
from sanpose.data.readers.listing import Bad, ImageFile, Listing, join, make_columns, text_array
from sanpose.errors import UserError

_ANNOTATIONS = ("annotations/person_keypoints_*.json", "person_keypoints_*.json", "annotations/*.json", "*.json")
_DETECTIONS = (
    "person_detection_results/*.json",
    "annotations/*det*.json",
    "*det*.json",
)
_MIN_LABELLED = 2
_NOT_A_PERSON = "not a person"


def read(
    src: Path,
    bad: Bad,
    *,
    annotations: Sequence[Path] = (),
    images: Path | None = None,
    detections: Path | None = None,
    split: str | None = None,
) -> Listing:
    """The listing of a COCO folder. Files not given are looked for in COCO's usual places.

    split: "train" or "val" for all persons; None tells by each file's name (`train` in it). `extra["ground_truth"]`
    holds the annotation JSON without segments, of the evaluation images (of all, where there is no evaluation split).
    Raises UserError for files that are missing, broken, or not COCO keypoints.
    """
    files.folder(src)
    found = files.need(
        annotations or [path for path in files.find(src, _ANNOTATIONS) if _is_object(path)],
        "COCO's keypoint annotations",
        src,
        _ANNOTATIONS,
        "--annotations",
    )
    texts = {path: files.read_json(path, dict) for path in found}
    train = {path: split == "train" if split else "train" in path.name for path in found}
    listing = join([_read_file(src, path, texts[path], images, train[path], bad) for path in found])
    judged = [texts[path] for path in found if not train[path]] or list(texts.values())
    boxes = detections or next((p for p in files.find(src, _DETECTIONS) if not _is_object(p)), None)
    extra: dict[str, npt.NDArray[Any]] = {"ground_truth": text_array(_ground_truth(judged))}
    extra["detections"] = _read_detections(boxes, listing, judged, bad) if boxes else np.zeros(0, DETECTION)
    note = f"detections: {boxes.name if boxes else 'none found'}"
    names = [f"{path.name}: {'training' if train[path] else 'evaluation'} split" for path in found]
    return replace(listing, extra=extra, notes=[*names, note])


def _is_object(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"{")


def _read_file(src: Path, path: Path, data: dict[str, Any], folder: Path | None, train: bool, bad: Bad) -> Listing:
    """One file's listing. Takes the entries that cannot be understood out of `data`, which is the ground truth too."""
    images = entries.understood(data, "images", ("id", "width", "height"), ("file_name",), path, bad)
    row = {image["id"]: n for n, image in enumerate(images)}
    rows: list[dict[str, Any]] = []
    origin: list[str] = []
    understood = []
    dropped: Counter[str] = Counter()
    for person in entries.understood(data, "annotations", ("id",), (), path, bad):
        entry = f"{path}, annotation {person['id']}"
        try:
            entries.numbers(person, "bbox", (4,), entry, "x, y, width, height")
            reason = _rule(person, entry)
            image = _image_of(person, row, entry)
            if reason != _NOT_A_PERSON:
                complete(person, entry)  # the evaluation will want it so
            sample = None if reason else {**_person(person, images[image], entry), "image": image, "train": train}
        except UserError as error:
            bad.malformed(error)
            continue
        understood.append(person)
        if sample is None:
            dropped[str(reason)] += 1
        else:
            rows.append(sample)
            origin.append(entry)
    data["images"], data["annotations"] = images, understood
    columns = make_columns("coco", {name: [r[name] for r in rows] for name in _NAMES})
    names = [f"images/{path.stem.split('_')[-1]}", path.stem.split("_")[-1], "images", "."]
    where = files.image_folder(src, folder, names, images[0]["file_name"] if images else "")
    listed = [ImageFile(where / i["file_name"], i["file_name"], (i["width"], i["height"])) for i in images]
    return Listing("coco", listed, columns, np.array(origin, dtype=object), dropped=dropped)


_NAMES = ("image", "annotation", "box", "keypoints", "visible", "train", "area", "image_id")


def _image_of(person: dict[str, Any], row: Mapping[int, int], entry: str) -> int:
    image_id = entries.integer(person, "image_id", entry)
    if image_id not in row:
        raise UserError(f"image_id {image_id} is not among the images", where=entry)
    return row[image_id]


def _rule(person: dict[str, Any], entry: str) -> str | None:
    """Which of COCO's rules drops a person, or None."""
    if person.get("category_id", PERSON) != PERSON:
        return _NOT_A_PERSON
    if person.get("iscrowd", 0):
        return "crowd"
    if (triples(person, entry)[:, 2] > 0).sum() < _MIN_LABELLED:
        return f"fewer than {_MIN_LABELLED} labelled joints"
    return None


def _person(person: dict[str, Any], image: dict[str, Any], entry: str) -> dict[str, Any]:
    points = triples(person, entry)
    x, y, w, h = entries.numbers(person, "bbox", (4,), entry, "x, y, width, height").tolist()
    left, top = max(x, 0.0), max(y, 0.0)
    box = (left, top, min(x + w, image["width"]) - left, min(y + h, image["height"]) - top)
    area = entries.number(person, "area", entry) if person.get("area") else AREA_OF_BOX * w * h
    return {
        "annotation": person["id"],
        "box": box,
        "keypoints": points[:, :2],
        # Only 0, 1 and 2 have a meaning; a larger mark is a visible joint all the same.
        "visible": np.nan_to_num(points[:, 2]).clip(0, 2),
        "area": area,
        "image_id": person["image_id"],
    }


def _ground_truth(texts: Sequence[Mapping[str, Any]]) -> str:
    """COCO's annotation JSON without segments, of several files. An area that is missing is 0.53 of the box."""
    persons = []
    for text in texts:
        for person in text["annotations"]:
            if person.get("category_id", PERSON) != PERSON:
                continue
            kept = {name: value for name, value in person.items() if name != "segmentation"}
            if not kept.get("area"):
                kept["area"] = AREA_OF_BOX * float(np.prod(entries.numbers(person, "bbox", (4,), "")[2:]))
            kept.setdefault("iscrowd", 0)
            if "num_keypoints" not in kept:
                kept["num_keypoints"] = 0 if kept["iscrowd"] else int((triples(person, "")[:, 2] > 0).sum())
            persons.append(kept)
    return json.dumps(
        {
            "info": {},
            "images": [
                {name: image[name] for name in ("id", "file_name", "width", "height")}
                for text in texts
                for image in text["images"]
            ],
            "annotations": persons,
            "categories": texts[0].get("categories", [{"id": PERSON, "name": "person"}]),
        }
    )


def _read_detections(
    path: Path, listing: Listing, judged: Sequence[Mapping[str, Any]], bad: Bad
) -> npt.NDArray[np.void]:
    """Persons detected in the evaluation images, in file order, with a box of some area."""
    name_of = {image["id"]: image["file_name"] for text in judged for image in text["images"]}
    row = {image.name: n for n, image in enumerate(listing.images)}
    found: list[tuple[int, int, tuple[float, ...], float]] = []
    for n, entry in enumerate(files.read_json(path, list)):
        where = f"{path}, detection {n}"
        try:
            image_id = entries.integer(entry, "image_id", where)
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
        found.append((image_id, row[name_of[image_id]], tuple(box), score))
    return np.array(found, DETECTION)
