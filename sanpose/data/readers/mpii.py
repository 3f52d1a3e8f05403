"""MPII in the JSON form of HRNet and Simple Baselines: train.json, valid.json (or trainval.json), the images, and the
evaluation's gt_valid.mat with the head boxes.

The JSON holds MPII's 1-based pixels, and the centre and scale as annotated. The reader converts pixels to 0-based,
moves the centre down by 15 px per unit of scale, and makes the box a square of 200 px per unit of scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanpose.data import array_files
from sanpose.data.json_files import read_list
from sanpose.data.readers import entries, files
from sanpose.data.readers.listing import BadSamples, ImageFile, Listing, columns_of, join
from sanpose.errors import UserError

IMAGE_FOLDERS = ("images", "Images", ".")
_SUBFOLDERS = ("annot", "annotations", ".")
_ANNOTATIONS = tuple(
    f"{folder}/{name}"
    for name in ("valid.json", "train.json", "trainval.json", "*mpii*.json")
    for folder in _SUBFOLDERS
)
_HEADS = tuple(f"{folder}/{name}" for name in ("gt_valid.mat", "*gt_valid.mat") for folder in _SUBFOLDERS)
_JOINTS = 16
_PX_PER_SCALE = 200.0
_DOWN_PER_SCALE = 15.0


def box_of(centre: npt.NDArray[np.floating], scale: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Boxes (..., 4) x, y, width, height px (0-based, before the padding of 1.25) from MPII's centre (..., 2), 1-based
    px, and scale (...) in units of 200 px."""
    side = np.asarray(scale, np.float64)[..., None] * _PX_PER_SCALE
    middle = np.asarray(centre, np.float64) - 1
    middle = middle + np.stack([np.zeros_like(side[..., 0]), _DOWN_PER_SCALE * side[..., 0] / _PX_PER_SCALE], -1)
    return np.concatenate([middle - side / 2, side, side], -1)


def read(
    src: Path,
    bad: BadSamples,
    *,
    annotations: Sequence[Path] = (),
    images: Path | None = None,
    head_boxes: Path | None = None,
    split: str | None = None,
) -> Listing:
    """The listing of an MPII folder in JSON form: train.json and valid.json together, where both exist.

    split: "train" or "val" for all persons; None: by each file's name (`files.is_evaluation`). Head
    boxes are those of the persons of valid.json, in its order. Raises UserError for missing or broken files.
    """
    files.folder(src)
    paths = files.require(annotations or _find(src), "MPII's annotations", src, _ANNOTATIONS, "--annotations")
    heads = head_boxes or next(iter(files.find(src, _HEADS)), None)
    evaluated = {p: split == "val" if split else files.is_evaluation(p) for p in paths}
    if head_boxes and not any(evaluated.values()):
        raise UserError(
            "--head-boxes belong to the evaluation split, and no annotation file is of that split",
            where=head_boxes,
            expected="valid.json, or --split val",
            hint="leave --head-boxes out: training needs no head boxes",
        )
    parts, notes = [], []
    for path in paths:
        boxes = _head_boxes(heads) if heads and evaluated[path] else None
        parts.append(_read_file(src, path, images, not evaluated[path], boxes, bad))
        notes.append(
            f"{path.name}: {'evaluation' if evaluated[path] else 'training'} split, "
            + (f"head boxes of {heads.name}" if heads and boxes is not None else "no head boxes")
        )
    return replace(join(parts), notes=notes)


def _find(src: Path) -> list[Path]:
    for group in (("train.json", "valid.json"), ("trainval.json",), ("*mpii*.json",)):
        paths = [path for name in group for path in files.find(src, [f"{folder}/{name}" for folder in _SUBFOLDERS])]
        if paths:
            return paths
    return []


def has_json(src: Path) -> bool:
    """Whether a folder holds MPII annotations in JSON form."""
    return bool(_find(src))


def _read_file(
    src: Path, path: Path, images: Path | None, train: bool, heads: npt.NDArray[np.float64] | None, bad: BadSamples
) -> Listing:
    persons = read_list(path)
    if heads is not None and len(heads) != len(persons):
        raise UserError(
            f"{len(heads)} head boxes for {len(persons)} persons",
            where=path,
            expected="the gt_valid.mat that belongs to this file, person by person",
        )
    names: dict[str, int] = {}
    rows: list[dict[str, object]] = []
    origin: list[str] = []
    for n, person in enumerate(persons):
        try:
            name, sample = _person(person, f"{path}, person {n}")
        except UserError as error:
            bad.malformed(error)
            continue
        head = np.full(4, np.nan) if heads is None else heads[n]
        row = names.setdefault(name, len(names))
        rows.append({**sample, "image": row, "annotation": n, "headbox": head, "train": train})
        origin.append(f"{path}, person {n} ({name})")
    columns = columns_of("mpii", rows)
    folder = files.image_folder(src, images, IMAGE_FOLDERS, next(iter(names), ""))
    listed = [ImageFile(folder / name, name) for name in names]
    return Listing("mpii", listed, columns, np.array(origin, dtype=object))


def _person(person: object, entry: str) -> tuple[str, dict[str, object]]:
    """The name of the person's image, and the person's values by column."""
    name = entries.text(person, "image", entry)
    centre = entries.numbers(person, "center", (2,), entry)
    hint = "convert the labels to MPII's 16 joints; docs/data.md lists them"
    joints = entries.numbers(person, "joints", (_JOINTS, 2), entry, f"{_JOINTS} joints, x y each", hint)
    visible = entries.numbers(person, "joints_vis", (_JOINTS,), entry, f"{_JOINTS} marks, 0 or 1", hint)
    return name, {
        "box": box_of(centre, np.array(entries.number(person, "scale", entry))),
        "keypoints": joints - 1,
        "visible": 2 * (visible > 0),
    }


def _head_boxes(path: Path) -> npt.NDArray[np.float64]:
    """Head boxes (N, 4) x1, y1, x2, y2, 0-based px, of gt_valid.mat's headboxes_src (2, 2, N), which is 1-based."""
    boxes = array_files.read_mat(path, "gt_valid.mat with headboxes_src", ("headboxes_src",))["headboxes_src"]
    if boxes.ndim != 3 or boxes.shape[:2] != (2, 2) or not np.issubdtype(boxes.dtype, np.number):
        raise UserError(
            f"headboxes_src has shape {boxes.shape}, of {boxes.dtype}", where=path, expected="(2, 2, N), of numbers"
        )
    return boxes.astype(np.float64).transpose(2, 0, 1).reshape(-1, 4) - 1
