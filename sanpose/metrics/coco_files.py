"""Files of COCO keypoints to score: the ground truth's JSON, alone or inside a packed file, and a results list."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sanpose.data.json_files import read_json
from sanpose.errors import UserError
from sanpose.metrics.coco_entries import CocoJson
from sanpose.metrics.files import is_packed, read_packed


def read_coco_truth(path: Path) -> CocoJson:
    """COCO's ground truth: an object with images, annotations, and perhaps categories. Raises UserError for anything
    else."""
    content = _read_packed(path) if is_packed(path) else read_json(path)
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            hint = "this file is a results list: pass it as --pred" if isinstance(content, list) else None
            raise UserError(f"the ground truth has no list '{key}'", where=path, expected="COCO's format", hint=hint)
    assert isinstance(content, dict)
    return {
        "images": content["images"],
        "annotations": content["annotations"],
        "categories": content.get("categories") or [],
    }


def read_coco_results(path: Path) -> list[dict[str, object]]:
    """COCO's results: a list of objects. Raises UserError for anything else."""
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise UserError(
            "the predictions are not a list of objects",
            where=path,
            expected="COCO's results: [{image_id, category_id, keypoints, score}, ...]",
        )
    return content


def _read_packed(path: Path) -> object:
    stored = read_packed(path, "coco").extra.get("ground_truth")
    if stored is None:
        raise UserError("this packed file holds no COCO ground truth", where=path)
    try:
        return json.loads(np.asarray(stored).tobytes())
    except ValueError as error:
        raise UserError(f"the packed file's ground truth is not valid JSON ({error})", where=path) from error
