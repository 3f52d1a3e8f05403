"""Where the people are in one's own images: a JSON file of boxes, or the whole image.

Boxes are x, y, width, height in px, 0-based, of the upright image; (0, 0) is the centre of the first pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sanpose.data.json_files import read_json
from sanpose.errors import UserError

PADDING = 1.25  # what a tight box grows by before it is cropped, as in COCO's evaluation
PERSON = 1  # COCO's category
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
    """The boxes of each image, in order, with one padding.

    The file is COCO's list of detections, where an image is named by `file_name` or by `image_id`, the number that
    COCO's file names are made of, and an image that is not named has no people; or an object of file names and lists of
    boxes, which must name every image. Boxes below min_score, and COCO's categories other than person, are left out.
    Raises UserError for broken JSON, another structure, boxes that are not four finite numbers with a positive size,
    and when no image is named.
    """
    content = read_json(path)
    if isinstance(content, list):
        named = _from_list(content, path, min_score)
    elif isinstance(content, dict):
        named = _from_object(content, path)
    else:
        raise UserError(f"the boxes are a {type(content).__name__}", where=path, expected=_EXPECTED)
    found = [_of_image(named, image) for image in images]
    missing = [image for image, boxes in zip(images, found, strict=True) if boxes is None]
    if missing and (isinstance(content, dict) or len(missing) == len(images)):
        raise UserError(
            f"no box is given for {missing[0].name}" + (f" and {len(missing) - 1} more images" if missing[1:] else ""),
            where=path,
            expected=f"boxes by file name; the file names {', '.join(list(named)[:3]) or 'nothing'}",
            hint='"name.jpg": [] says that nobody is there' if isinstance(content, dict) else None,
        )
    return [[replace(box, padding=padding) for box in boxes or []] for boxes in found]


def require_inside(box: Box, width: int, height: int, where: object) -> None:
    """Raise UserError when a box has nothing in common with its image of width x height px."""
    x, y, w, h = box.xywh
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise UserError(
            f"the box {[round(v, 1) for v in box.xywh]} lies outside the image of {width} x {height} px",
            where=where,
            expected="x, y, width, height in px of this image, x and y from its top left corner",
        )


def _of_image(named: Mapping[str, list[Box]], image: Path) -> list[Box] | None:
    """An image is named by its path, its name, its name without the suffix, or the number in its name."""
    number = str(int(image.stem)) if image.stem.isascii() and image.stem.isdigit() else None
    keys = (str(image), image.name, image.stem, number)
    return next((named[key] for key in keys if key is not None and key in named), None)


def _from_list(content: Sequence[Any], path: Path, min_score: float) -> dict[str, list[Box]]:
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
    return named


def _from_object(content: Mapping[str, Any], path: Path) -> dict[str, list[Box]]:
    named = {}
    for name, boxes in content.items():
        if not isinstance(boxes, list):
            raise UserError(f"the boxes of {name} are a {type(boxes).__name__}", where=path, expected=_EXPECTED)
        named[name] = [Box(_xywh(box, f"{path}, {name}, box {i}")) for i, box in enumerate(boxes)]
    return named


def _xywh(value: Any, where: str) -> tuple[float, float, float, float]:
    expected = "four finite numbers: x, y, width, height in px, width and height above 0"
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(v) for v in value):
        raise UserError(f"the box is {value!r:.80}", where=where, expected=expected)
    x, y, w, h = (float(v) for v in value)
    if w <= 0 or h <= 0:
        raise UserError(f"the box {value} has no size", where=where, expected=expected)
    return x, y, w, h


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
