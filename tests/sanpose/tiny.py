"""Tiny packed files for tests: a coloured disc at every joint, so that a small network can learn something."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sanpose.data import packed
from sanpose.pose.joints import NATIVE

SIDE = 96
CAMERA = np.array([(b"54138969", SIDE, SIDE, (200.0, 200.0), (48.0, 48.0), (0,) * 3, (0,) * 2)], packed.CAMERA)


def write(folder: Path, source: str, count: int = 24, seed: int = 0) -> Path:
    """A packed file of `count` images with one person each; a third of them are for evaluation."""
    random = np.random.default_rng([seed, len(source), count])
    joints = len(NATIVE[source])
    space = _people(NATIVE[source].joints, count, random)
    points = (space[..., :2] / space[..., 2:] * 200 + 48).astype(np.float32)
    jpegs = [_draw(p) for p in points]
    test = np.arange(count) % 3 == 2
    columns: dict[str, Any] = {
        "image": np.arange(count),
        "annotation": np.arange(count) + 100,
        "box": np.tile([8, 8, 80, 80], (count, 1)),
        "keypoints": points,
        "visible": np.full((count, joints), 2),
    }
    extra: dict[str, Any] = {}
    if source == "h36m":
        columns |= {
            "keypoints3d": space,
            "camera": np.zeros(count),
            "subject": np.where(test, np.where(np.arange(count) % 2, 9, 11), 1),
            "action": 2 + np.arange(count) % 15,
            "subaction": np.ones(count),
            "frame": np.arange(count) * 320,
        }
        extra = {"cameras": CAMERA}
    else:
        columns["train"] = ~test
    if source == "mpii":
        columns["headbox"] = np.tile([10, 10, 30, 40], (count, 1))
    if source == "coco":
        columns |= {"area": np.full(count, 3000), "image_id": np.arange(count) + 1}
        extra = {"ground_truth": np.asarray(json.dumps(_truth(columns, test)), dtype="S")}
    path = folder / f"{source}.h5"
    packed.write(
        path,
        source,
        jpegs=jpegs,
        lengths=np.array([len(j) for j in jpegs]),
        names=[f"{i:06d}.jpg" for i in range(count)],
        sizes=np.full((count, 2), SIDE),
        columns=columns,
        extra=extra,
        synthetic=True,
    )
    return path


def overrides(folder: Path, *more: str, count: int = 24) -> list[str]:
    """Overrides of a smoke run on tiny files of all three sources, written into a folder."""
    files = {s: write(folder, s, count) for s in NATIVE}
    return [
        "preset=smoke",
        "train.threads=1",
        f"runs={folder / 'runs'}",
        *(f"data.sources.{s}.file={p}" for s, p in files.items()),
        "data.sources.mpii.share=1",
        "data.sources.coco.share=1",
        *more,
    ]


def _people(names: tuple[str, ...], count: int, random: np.random.Generator) -> np.ndarray[Any, Any]:
    """One made-up body turned about its vertical axis, (count, J, 3) mm in the camera frame, 5 m away."""
    body = np.stack([np.random.default_rng(zlib.crc32(name.encode())).uniform(-600, 600, 3) for name in names])
    body -= np.random.default_rng(zlib.crc32(b"pelvis")).uniform(-600, 600, 3)
    angle = random.uniform(-1, 1, count)
    zero, one = np.zeros(count), np.ones(count)
    turn = np.array([[np.cos(angle), zero, np.sin(angle)], [zero, one, zero], [-np.sin(angle), zero, np.cos(angle)]])
    return ((turn.transpose(2, 0, 1) @ body.T).swapaxes(1, 2) / 2 + [0, 0, 5000]).astype(np.float32)


def _draw(points: np.ndarray[Any, Any]) -> bytes:
    image = np.full((SIDE, SIDE, 3), 40, np.uint8)
    for j, (x, y) in enumerate(points):
        color = tuple(int(c) for c in cv2.cvtColor(np.uint8([[[j * 10, 255, 255]]]), cv2.COLOR_HSV2BGR)[0, 0])
        cv2.circle(image, (round(float(x)), round(float(y))), 4, color, -1, cv2.LINE_AA)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())


def _truth(columns: dict[str, Any], test: np.ndarray[Any, Any]) -> dict[str, Any]:
    rows = np.flatnonzero(test)
    return {
        "images": [{"id": int(i) + 1, "width": SIDE, "height": SIDE} for i in rows],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": int(i) + 100,
                "image_id": int(i) + 1,
                "category_id": 1,
                "iscrowd": 0,
                "area": 3000.0,
                "bbox": [8, 8, 80, 80],
                "num_keypoints": 17,
                "keypoints": np.column_stack([columns["keypoints"][i], np.full(17, 2)]).ravel().tolist(),
            }
            for i in rows
        ],
    }
