"""Where the people are in a user's own images: a JSON file of boxes, arrays of boxes, or the whole image.

Boxes are x, y, width, height in px, 0-based, of the upright image; (0, 0) is the centre of the first pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

import numpy as np

from sanpose.data.json_files import read_json
from sanpose.data.readers.coco_category import PERSON
from sanpose.errors import UserError

PADDING = 1.25  # a tight box grows by this factor before it is cropped, as in COCO's evaluation
PADDINGS = (0.1, 10.0)  # the factors allowed
_EXPECTED = 'a list of {"file_name" or "image_id", "bbox", "score"}, or {"file name": [[x, y, width, height], ...]}'


@dataclass(frozen=True)
class Box:
    """A person's box (x, y, width, height; px), its padding, and the detector's score if it gave one."""

    xywh: tuple[float, float, float, float]
    padding: float = PADDING
    score: float | None = None


def whole(width: int, height: int) -> Box:
    """The whole image as one person's box, without padding."""
    return Box((0.0, 0.0, float(width), float(height)), padding=1.0)


def read_boxes(
    path: Path, images: Sequence[Path], *, padding: float = PADDING, min_score: float = 0.0
) -> list[list[Box]]:
    """The boxes of each image, in order, all with the same padding.

    The file holds one of two things. COCO's list of detections names an image by `file_name` or by `image_id` (the
    number in COCO's file names); an image that the list does not name has no people. An object maps file names to lists
    of boxes and must name every image. Boxes below min_score and COCO's categories other than person are left out.
    Raises UserError for broken JSON, another structure, boxes that are not four finite numbers with a positive size,
    when the file names none of the images, and when a name stands for two images.
    """
    content = read_json(path)
    if isinstance(content, list):
        named = _from_list(content, path, min_score)
    elif isinstance(content, dict):
        named = _from_object(content, path)
    else:
        raise UserError(f"the boxes are a {type(content).__name__}", where=path, expected=_EXPECTED)
    keys = [_key(named, image) for image in images]
    _require_unambiguous(keys, images, path)
    matches = [None if key is None else named[key] for key in keys]
    missing = [image for image, boxes in zip(images, matches, strict=True) if boxes is None]
    if missing and (isinstance(content, dict) or len(missing) == len(images)):
        raise UserError(
            f"there is no box for {missing[0].name}" + (f" and {len(missing) - 1} more images" if missing[1:] else ""),
            where=path,
            expected=f"boxes by file name; the file has boxes for {', '.join(list(named)[:3]) or 'no image'}",
            hint='"name.jpg": [] means that the image has no people' if isinstance(content, dict) else None,
        )
    return [[replace(box, padding=padding) for box in boxes or []] for boxes in matches]


def from_arrays(boxes: object, padding: float | None, images: int = 1) -> list[list[Box] | None] | None:
    """The boxes of each of several images, from one array (n, 4) or (4,) per image, or None for the whole image.

    padding: None for `PADDING`. Raises UserError for another number of arrays, another shape, boxes that are not finite
    or have no size, and a padding out of range or without boxes.
    """
    if padding is not None and not PADDINGS[0] <= padding <= PADDINGS[1]:
        raise UserError(f"padding={padding:g} is out of range", expected="{:g} to {:g}".format(*PADDINGS))
    if boxes is None:
        if padding is not None:
            raise UserError("padding has no effect without boxes", expected="boxes, or no padding")
        return None
    if not isinstance(boxes, Sequence | np.ndarray) or len(boxes) != images:
        count = f"{len(boxes)} entries" if isinstance(boxes, Sequence | np.ndarray) else type(boxes).__name__
        raise UserError(
            f"there are {images} images, and the boxes are {count}",
            where="boxes",
            expected="one array (n, 4) of x, y, width, height in px for each image, or None for the whole image",
        )
    return [None if own is None else _from_array(own, padding or PADDING, i) for i, own in enumerate(boxes)]


def _from_array(boxes: object, padding: float, image: int) -> list[Box]:
    where = f"the boxes of image {image}"
    try:
        rows = np.atleast_1d(np.asarray(boxes, np.float64))
    except (TypeError, ValueError) as error:
        raise UserError(f"the boxes are not numbers ({error})", where=where, expected="an array (n, 4)") from error
    if rows.size == 0:
        return []
    if rows.ndim > 2 or rows.shape[-1] != 4:
        expected = "(n, 4): x, y, width, height in px of each person's box, or (4,) for one box"
        raise UserError(f"the boxes have the shape {rows.shape}", where=where, expected=expected)
    return [Box(_xywh(row, f"{where}, box {i}"), padding) for i, row in enumerate(rows.reshape(-1, 4).tolist())]


def require_inside(box: Box, width: int, height: int, where: object) -> None:
    """Raise UserError when a box does not overlap its image of width x height px."""
    x, y, w, h = box.xywh
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise UserError(
            f"the box {[round(v, 1) for v in box.xywh]} lies outside the image of {width} x {height} px",
            where=where,
            expected="x, y, width, height in px of this image, x and y from its top left corner",
        )


def _key(named: Mapping[str, list[Box]], image: Path) -> str | None:
    """The image's path, name, name without suffix, or the number in its name: the first that has boxes."""
    number = str(int(image.stem)) if image.stem.isascii() and image.stem.isdigit() else None
    keys = (str(image), image.name, image.stem, number)
    return next((key for key in keys if key is not None and key in named), None)


def _require_unambiguous(keys: Sequence[str | None], images: Sequence[Path], path: Path) -> None:
    first: dict[str, Path] = {}
    for key, image in zip(keys, images, strict=True):
        if key is not None and first.setdefault(key, image) != image:
            raise UserError(
                f"the boxes of '{key}' may belong to {first[key]} or to {image}",
                where=path,
                expected=f"boxes by path, such as '{image}', where images have the same name",
            )


def _from_list(content: Sequence[object], path: Path, min_score: float) -> dict[str, list[Box]]:
    named: dict[str, list[Box]] = {}
    for i, item in enumerate(content):
        where = f"{path}, entry {i}"
        if not isinstance(item, dict) or "bbox" not in item or not ("file_name" in item or "image_id" in item):
            raise UserError("this is not a detection", where=where, expected=_EXPECTED)
        if item.get("category_id", PERSON) != PERSON:
            continue
        score = item.get("score")
        if score is not None and not _is_number(score):
            raise UserError(f"the score is {score!r}", where=where, expected="a finite number")
        boxes = named.setdefault(str(item.get("file_name", item.get("image_id"))), [])
        if score is None or score >= min_score:
            boxes.append(Box(_xywh(item["bbox"], where), score=None if score is None else float(score)))
    if content and not named:
        raise UserError(
            "none of the entries is a person", where=path, expected=f"category_id {PERSON}, or entries without it"
        )
    return named


def _from_object(content: Mapping[str, object], path: Path) -> dict[str, list[Box]]:
    named = {}
    for name, boxes in content.items():
        if not isinstance(boxes, list):
            raise UserError(f"the boxes of {name} are a {type(boxes).__name__}", where=path, expected=_EXPECTED)
        named[name] = [Box(_xywh(box, f"{path}, {name}, box {i}")) for i, box in enumerate(boxes)]
    return named


def _xywh(value: object, where: str) -> tuple[float, float, float, float]:
    expected = "four finite numbers: x, y, width, height in px, width and height above 0"
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(v) for v in value):
        raise UserError(f"the box is {value!r:.80}", where=where, expected=expected)
    x, y, w, h = (float(v) for v in value)
    if w <= 0 or h <= 0:
        raise UserError(f"the box {value} has no size", where=where, expected=expected)
    return x, y, w, h


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
