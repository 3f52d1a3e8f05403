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
from sanpose.data.readers import files
from sanpose.data.readers.listing import Bad, ImageFile, Listing, join, make_columns, text_array
from sanpose.errors import UserError

_ANNOTATIONS = ("annotations/person_keypoints_*.json", "person_keypoints_*.json", "annotations/*.json", "*.json")
_DETECTIONS = (
    "person_detection_results/*.json",
    "annotations/*det*.json",
    "*det*.json",
)
_PERSON = 1
_MIN_LABELLED = 2
# The field's habit where a person has no segment.
_AREA_OF_BOX = 0.53


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
    images = _entries(path, data, "images", ("id", "file_name", "width", "height"))
    persons = _entries(path, data, "annotations", ("id", "image_id", "bbox"))
    row = {image["id"]: n for n, image in enumerate(images)}
    names = [f"images/{path.stem.split('_')[-1]}", path.stem.split("_")[-1], "images", "."]
    where = files.image_folder(src, folder, names, images[0]["file_name"] if images else "")
    listed = [ImageFile(where / i["file_name"], i["file_name"], (int(i["width"]), int(i["height"]))) for i in images]
    rows: list[dict[str, Any]] = []
    origin: list[str] = []
    dropped: Counter[str] = Counter()
    for person in persons:
        reason = _rule(person)
        if reason:
            dropped[reason] += 1
            continue
        entry = f"{path}, annotation {person['id']}"
        if person["image_id"] not in row:
            bad.refuse("image not listed", f"image_id {person['image_id']} is not among the images", entry)
            continue
        sample = _person(person, images[row[person["image_id"]]], entry, bad)
        if sample is not None:
            rows.append({**sample, "image": row[person["image_id"]], "train": train})
            origin.append(entry)
    columns = make_columns("coco", {name: [r[name] for r in rows] for name in (rows[0] if rows else _NAMES)})
    return Listing("coco", listed, columns, np.array(origin, dtype=object), dropped=dropped)


_NAMES = ("image", "annotation", "box", "keypoints", "visible", "train", "area", "image_id")


def _entries(path: Path, data: dict[str, Any], key: str, fields: tuple[str, ...]) -> list[dict[str, Any]]:
    entries = data.get(key)
    if not isinstance(entries, list):
        raise UserError(f"the file has no list '{key}'", where=path, expected="COCO's person_keypoints_*.json")
    for n, entry in enumerate(entries):
        missing = [name for name in fields if not isinstance(entry, dict) or name not in entry]
        if missing:
            raise UserError(f"{key}[{n}] lacks {', '.join(missing)}", where=path)
    return entries


def _rule(person: dict[str, Any]) -> str | None:
    """Which of COCO's rules drops a person, or None."""
    if person.get("category_id", _PERSON) != _PERSON:
        return "not a person"
    if person.get("iscrowd", 0):
        return "crowd"
    if sum(v > 0 for v in person.get("keypoints", [])[2::3]) < _MIN_LABELLED:
        return f"fewer than {_MIN_LABELLED} labelled joints"
    return None


def _person(person: dict[str, Any], image: dict[str, Any], entry: str, bad: Bad) -> dict[str, Any] | None:
    points = person["keypoints"]
    if len(points) != 17 * 3:
        bad.refuse("wrong joint count", f"{len(points)} keypoint numbers", entry, "17 joints, x y v each")
        return None
    if len(person["bbox"]) != 4:
        bad.refuse("wrong box", f"the box has {len(person['bbox'])} numbers", entry, "x, y, width, height")
        return None
    triples = np.array(points, np.float64).reshape(17, 3)
    x, y, w, h = (float(v) for v in person["bbox"])
    left, top = max(x, 0.0), max(y, 0.0)
    box = (left, top, min(x + w, image["width"]) - left, min(y + h, image["height"]) - top)
    return {
        "annotation": person["id"],
        "box": box,
        "keypoints": triples[:, :2],
        "visible": triples[:, 2],
        "area": float(person.get("area") or _AREA_OF_BOX * box[2] * box[3]),
        "image_id": person["image_id"],
    }


def _ground_truth(texts: Sequence[Mapping[str, Any]]) -> str:
    """COCO's annotation JSON without segments, of several files. An area that is missing is 0.53 of the box."""
    persons = []
    for text in texts:
        for person in text["annotations"]:
            kept = {name: value for name, value in person.items() if name != "segmentation"}
            kept.setdefault("area", _AREA_OF_BOX * person["bbox"][2] * person["bbox"][3])
            kept.setdefault("iscrowd", 0)
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
            "categories": texts[0].get("categories", [{"id": _PERSON, "name": "person"}]),
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
        if not isinstance(entry, dict) or not {"bbox", "image_id", "score"} <= entry.keys():
            raise UserError(f"detection {n} lacks bbox, image_id or score", where=path)
        if entry.get("category_id", _PERSON) != _PERSON or entry["image_id"] not in name_of:
            continue
        box = tuple(float(v) for v in entry["bbox"])
        if len(box) != 4 or not np.isfinite([*box, entry["score"]]).all() or min(box[2:]) <= 0:
            bad.refuse("detection without area", f"the detected box is {entry['bbox']}", where, "x, y, width, height")
            continue
        found.append((entry["image_id"], row[name_of[entry["image_id"]]], box, float(entry["score"])))
    return np.array(found, DETECTION)
