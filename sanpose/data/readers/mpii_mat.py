"""MPII's official annotation file, mpii_human_pose_v1_u12_1.mat (variable RELEASE), and the images.

Fields may be absent or empty; `is_visible` may be empty text, text or a number. A joint without visibility counts as
visible, a joint marked hidden as labelled. Pixels are 1-based in the file. Images of the official test set
(img_train = 0) have no joints and give no samples.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanpose.data import array_files
from sanpose.data.readers import files
from sanpose.data.readers.listing import BadSamples, ImageFile, Listing, columns_of
from sanpose.data.readers.mpii import IMAGE_FOLDERS, box_of
from sanpose.errors import UserError

_ANNOTATIONS = tuple(f"{folder}mpii_human_pose*.mat" for folder in ("", "annot/", "annotations/", "*/"))
_JOINTS = 16


def has_mat(src: Path) -> bool:
    """Whether a folder holds MPII's official annotation file."""
    return bool(files.find(src, _ANNOTATIONS))


def read(
    src: Path, bad: BadSamples, *, annotations: Path | None = None, images: Path | None = None, split: str | None = None
) -> Listing:
    """The listing of MPII's official form: every annotated person of the training images.

    The file marks no evaluation split among them: all persons are training samples unless split is "val". Persons
    without joints, or without position and scale, are dropped and counted. Raises UserError for a missing or broken
    file.
    """
    files.folder(src)
    paths = [annotations] if annotations else files.find(src, _ANNOTATIONS)
    path = files.require(paths, "MPII's official annotations", src, _ANNOTATIONS, "--annotations")[0]
    annotated, marks = _load(path)
    rows: list[dict[str, object]] = []
    origin: list[str] = []
    names: dict[str, int] = {}
    dropped: Counter[str] = Counter()
    person_id = 0
    for n, image in enumerate(annotated):
        if n >= len(marks) or not marks[n]:
            continue
        name = str(getattr(getattr(image, "image", None), "name", ""))
        if not name:
            bad.refuse("malformed entry", "the image has no name", f"{path}, image {n + 1}")
            continue
        for r, person in enumerate(_items(getattr(image, "annorect", None))):
            person_id += 1
            entry = f"{path}, image {n + 1} ({name}), person {r + 1}"
            reason = _rule(person)
            if reason:
                dropped[reason] += 1
                continue
            sample = _person(person, entry, bad)
            if sample is None:
                continue
            row = names.setdefault(name, len(names))
            rows.append({**sample, "image": row, "annotation": person_id - 1, "train": split != "val"})
            origin.append(entry)
    columns = columns_of("mpii", rows)
    folder = files.image_folder(src, images, IMAGE_FOLDERS, next(iter(names), ""))
    note = "the official file has no evaluation split: " + ("all evaluation" if split == "val" else "all training")
    listed = [ImageFile(folder / name, name) for name in names]
    return Listing("mpii", listed, columns, np.array(origin, dtype=object), dropped=dropped, notes=[note])


def _load(path: Path) -> tuple[list[object], npt.NDArray[np.generic]]:
    """The images' structs, and the mark of each image's split: 0 in the official test set."""
    release = array_files.read_mat_struct(path, "MPII's official annotations, whole", "RELEASE")
    if not hasattr(release, "annolist") or not hasattr(release, "img_train"):
        raise UserError("RELEASE lacks annolist or img_train", where=path)
    return _items(release.annolist), np.ravel(release.img_train)


def _items(value: object) -> list[object]:
    """The elements of a struct array, which may be a single struct, empty, or absent."""
    if value is None:
        return []
    return [item for item in np.ravel(np.asarray(value, dtype=object)) if hasattr(item, "_fieldnames")]


def _number(struct: object, name: str) -> float:
    """A struct's number; NaN where the field is absent, empty, or text that is no number."""
    value = getattr(struct, name, None)
    flat = np.ravel(value) if value is not None else np.zeros(0)
    try:
        return float(flat[0]) if flat.size else float("nan")
    except (TypeError, ValueError):
        return float("nan")


def _xy(struct: object) -> npt.NDArray[np.float64]:
    """A struct's x and y (2,), NaN where it has none."""
    return np.array([_number(struct, "x"), _number(struct, "y")])


def _points(person: object) -> list[object]:
    holder = _items(getattr(person, "annopoints", None))
    return _items(getattr(holder[0], "point", None)) if holder else []


def _positions(person: object) -> list[object]:
    return _items(getattr(person, "objpos", None))


def _rule(person: object) -> str | None:
    """The rule that drops a person, or None."""
    if not _points(person):
        return "no joints annotated"
    positions = _positions(person)
    if not positions or np.isnan([*_xy(positions[0]), _number(person, "scale")]).any():
        return "no position or scale"
    return None


def _person(person: object, entry: str, bad: BadSamples) -> dict[str, object] | None:
    keypoints = np.zeros((_JOINTS, 2))
    visible = np.zeros(_JOINTS, np.uint8)
    for point in _points(person):
        joint = _number(point, "id")
        if joint not in range(_JOINTS):
            bad.refuse("wrong joint", f"a joint has the id {joint:g}", entry, "0 .. 15")
            return None
        keypoints[int(joint)] = _xy(point) - 1
        visible[int(joint)] = 1 if _number(point, "is_visible") == 0 else 2
    return {
        "box": box_of(_xy(_positions(person)[0]), np.array(_number(person, "scale"))),
        "keypoints": keypoints,
        "visible": visible,
        "headbox": np.array([_number(person, name) for name in ("x1", "y1", "x2", "y2")]) - 1,
    }
