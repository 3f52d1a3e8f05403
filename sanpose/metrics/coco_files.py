"""Files of COCO keypoints to score: the ground truth's JSON, alone or inside a packed file, and a results list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sanpose.data import packed
from sanpose.errors import UserError
from sanpose.metrics.files import read_json


def read_coco_truth(path: Path) -> dict[str, Any]:
    """COCO's ground truth: an object with images, annotations, categories. Raises UserError for anything else."""
    content = _read_packed(path) if path.suffix in (".h5", ".hdf5") else read_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            hint = "this is a results list: give it as --pred" if isinstance(content, list) else None
            raise UserError(f"the ground truth has no list '{key}'", where=path, expected="COCO's format", hint=hint)
    assert isinstance(content, dict)
    return content


def read_coco_results(path: Path) -> list[dict[str, Any]]:
    """COCO's results: a list of objects. Raises UserError for anything else."""
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise UserError(
            "the predictions are not a list of objects",
            where=path,
            expected="COCO's results: [{image_id, category_id, keypoints, score}, ...]",
        )
    return content


def _read_packed(path: Path) -> Any:
    data = packed.read(path)
    if data.source != "coco" or "ground_truth" not in data.extra:
        raise UserError(f"this packed file ({data.source}) holds no COCO ground truth", where=path, expected="coco")
    stored: Any = data.extra["ground_truth"]
    try:
        return json.loads(stored.tobytes() if isinstance(stored, np.ndarray) else stored)
    except ValueError as error:
        raise UserError(f"the packed file's ground truth is not valid JSON ({error})", where=path) from error
