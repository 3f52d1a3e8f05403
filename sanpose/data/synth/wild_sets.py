"""The sets in the wild, with 2D only: MPII in the JSON form of HRNet and Simple Baselines, and COCO keypoints."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

from sanpose.data.synth.backdrop import jpeg
from sanpose.data.synth.options import Options
from sanpose.data.synth.skeleton import INDEX, Floats
from sanpose.data.synth.wild import Scene, Seen, scene
from sanpose.pose.joints import COCO17, MPII16

Job = tuple[str, int, int]
"""Split, first and last (exclusive) number of its pictures."""
_CHUNK = 20
# Human3.6M's names of the MPII joints that are not where Human3.6M has them.
_MPII_NAMES = tuple("upper_neck" if name == "neck" else name for name in MPII16.joints)
_PX_PER_SCALE, _DOWN_PER_SCALE = 200.0, 15.0
_MIN_JOINTS, _MIN_VISIBLE = 6, 4
_COCO_SHRINKS = 1.6
# Corners of the head, in the head's frame, mm.
_SKULL = np.array([(x, y, z) for x in (-95.0, 95.0) for y in (-78.0, 78.0) for z in (15.0, 208.0)])


def jobs(train: int, val: int) -> list[Job]:
    return [
        (split, first, min(first + _CHUNK, count))
        for split, count in (("train", train), ("val", val))
        for first in range(0, count, _CHUNK)
    ]


def pictures(job: Job) -> int:
    return job[2] - job[1]


def make_mpii(options: Options, job: Job, folder: Path) -> list[dict[str, Any]]:
    """Write a job's pictures into folder/images. Returns one entry per labelled person."""

    def entries(shot: Scene, _number: int, name: str) -> list[dict[str, Any]]:
        made = [_mpii_person(shot, person, name) for person in shot.people]
        return [{"split": job[0], **entry} for entry in made if entry is not None]

    return _shoot(options, job, folder, ("images", "{:09d}.jpg", (1280, 720), 0, (0.6, 0.3, 0.1)), entries)


def make_coco(options: Options, job: Job, folder: Path) -> list[dict[str, Any]]:
    """Write a job's pictures into folder/{train,val}2017. Returns one entry per picture."""

    def entries(shot: Scene, number: int, name: str) -> list[dict[str, Any]]:
        people = [_coco_person(shot, person) for person in shot.people if person.area >= 1]
        width, height = shot.view.camera.size
        return [{"split": job[0], "id": number, "file_name": name, "width": width, "height": height, "people": people}]

    style = (f"{job[0]}2017", "{:012d}.jpg", (640, 480), 1, (0.45, 0.3, 0.15, 0.1))
    return _shoot(options, job, folder, style, entries)


_Style = tuple[str, str, tuple[int, int], int, tuple[float, ...]]


def _shoot(
    options: Options,
    job: Job,
    folder: Path,
    style: _Style,
    entries: Callable[[Scene, int, str], list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """style: folder, file name, picture size px at scale 1, the set's number, chances of 1, 2, ... people.

    COCO's pictures are smaller than MPII's to begin with, so they shrink less.
    """
    into, pattern, base, number_of_set, chances = style
    (folder / into).mkdir(exist_ok=True)
    split = 1 if job[0] == "val" else 0
    ratio = min(1.0, _COCO_SHRINKS * options.scale) if number_of_set else options.scale
    made = []
    for n in range(job[1], job[2]):
        rng = np.random.default_rng([options.seed, 40 + number_of_set, split, n])
        long, short = (max(round(side * ratio), 8) for side in base)
        size = (short, long) if rng.random() < 0.25 else (long, short)
        count = 1 + int(rng.choice(len(chances), p=chances))
        shot = scene(rng, size, count, oversampling=options.oversampling)
        number = n + 1 + 1_000_000 * split
        name = pattern.format(number)
        (folder / into / name).write_bytes(jpeg(shot.picture, rng))
        made += entries(shot, number, name)
    return made


def _mpii_person(shot: Scene, person: Seen, name: str) -> dict[str, Any] | None:
    """1-based pixels. The scale is the person's whole extent in units of 200 px, the centre that of the extent,
    raised by the 15 px per unit that readers lower it by. None for those whom nobody would label: hardly in the
    picture, nearly hidden, or so near that they overflow it."""
    pixels, visible = shot.pixels(person, _MPII_NAMES)
    low, high = pixels.min(0), pixels.max(0)
    scale = float(max((high - low).max() * 1.08, 1.0)) / _PX_PER_SCALE
    centre = (low + high) / 2 + 1 - np.array([0.0, _DOWN_PER_SCALE * scale])
    labelled = visible > 0
    overflows = scale * _PX_PER_SCALE > 2 * max(shot.view.camera.size)
    if labelled.sum() < _MIN_JOINTS or (visible == 2).sum() < _MIN_VISIBLE or overflows:
        return None
    points = np.where(labelled[:, None], pixels + 1, -1.0)
    return {
        "image": name,
        "center": centre.round(3).tolist(),
        "scale": round(scale, 6),
        "joints": points.round(3).tolist(),
        "joints_vis": labelled.astype(int).tolist(),
        "head": _head_box(shot, person).tolist(),
    }


def _head_box(shot: Scene, person: Seen) -> Floats:
    """x1, y1, x2, y2, 1-based px, of the head, whether or not it is visible."""
    offsets = _SKULL * person.lengths.head
    world = person.posed.points(np.full(len(offsets), INDEX["head"]), offsets)
    pixels, _ = shot.view.project(world)
    # A box of the skull's corners is wider than the round skull in it.
    middle, half = (pixels.min(0) + pixels.max(0)) / 2, (pixels.max(0) - pixels.min(0)) / 2 * 0.88
    return np.concatenate([middle - half, middle + half]).round(3) + 1


def finish_mpii(entries: list[dict[str, Any]], folder: Path) -> None:
    """Write annot/train.json, annot/valid.json and annot/gt_valid.mat."""
    (folder / "annot").mkdir()
    for split, stem in (("train", "train"), ("val", "valid")):
        people = [e for e in entries if e["split"] == split]
        kept = [{key: value for key, value in e.items() if key not in ("split", "head")} for e in people]
        (folder / "annot" / f"{stem}.json").write_text(json.dumps(kept), "utf-8")
    judged = [e for e in entries if e["split"] == "val"]
    names = np.empty((1, len(MPII16)), object)
    short = {"ankle": "ank", "knee": "kne", "hip": "hip", "wrist": "wri", "elbow": "elb", "shoulder": "sho"}
    for i, joint in enumerate(MPII16.joints):
        side, _, part = joint.partition("_")
        names[0, i] = f"{side[0]}{short[part]}" if part else joint
    missing = 1 - np.array([e["joints_vis"] for e in judged], np.float64).reshape(-1, len(MPII16)).T
    points = np.array([e["joints"] for e in judged], np.float64).reshape(-1, len(MPII16), 2).transpose(1, 2, 0)
    heads = np.array([e["head"] for e in judged], np.float64).reshape(-1, 2, 2).transpose(1, 2, 0)
    file = io.BytesIO()
    scipy.io.savemat(
        file,
        {"dataset_joints": names, "jnt_missing": missing, "pos_gt_src": points, "headboxes_src": heads},
    )
    # The first 116 bytes are free text, in which SciPy notes the time: equal options must give equal files.
    text = b"MATLAB 5.0 MAT-file, synthetic".ljust(116)
    (folder / "annot" / "gt_valid.mat").write_bytes(text + file.getvalue()[len(text) :])


def _coco_person(shot: Scene, person: Seen) -> dict[str, Any]:
    pixels, visible = shot.pixels(person, COCO17.joints)
    # Nobody guesses a joint far from what they can see of the person.
    corner, extent = np.array(person.box[:2]), np.array(person.box[2:])
    near = (np.abs(pixels - corner - extent / 2) <= 0.65 * extent).all(-1)
    visible = np.where(near, visible, 0)
    table = np.where(visible[:, None] > 0, np.column_stack([pixels.round(2), visible]), 0.0)
    keypoints: list[float] = [int(v) if i % 3 == 2 else v for i, v in enumerate(table.ravel().tolist())]
    return {
        "num_keypoints": int((visible > 0).sum()),
        "area": round(person.area, 2),
        "iscrowd": 0,
        "keypoints": keypoints,
        "bbox": [round(v, 2) for v in person.box],
        "category_id": 1,
    }


def finish_coco(options: Options, entries: list[dict[str, Any]], folder: Path) -> None:
    """Write the annotations of both splits, and what a person detector might say about the evaluation split."""
    (folder / "annotations").mkdir()
    (folder / "person_detection_results").mkdir()
    category = {
        "supercategory": "person", "id": 1, "name": "person", "keypoints": list(COCO17.joints),
        "skeleton": [[COCO17.index(a) + 1, COCO17.index(b) + 1] for a, b in COCO17.bones],
    }  # fmt: skip
    for split in ("train", "val"):
        images = [e for e in entries if e["split"] == split]
        people = [{"image_id": e["id"], **person} for e in images for person in e["people"]]
        for n, person in enumerate(people):
            person["id"] = n + 1 + (1_000_000 if split == "val" else 0)
        table = {
            "info": {"description": "synthetic people"},
            "licenses": [],
            "categories": [category],
            "images": [{k: e[k] for k in ("id", "file_name", "width", "height")} for e in images],
            "annotations": people,
        }
        (folder / "annotations" / f"person_keypoints_{split}2017.json").write_text(json.dumps(table), "utf-8")
        if split == "val":
            rng = np.random.default_rng([options.seed, 43])
            found = [detection for e in images for detection in _detections(rng, e)]
            path = folder / "person_detection_results" / "detections_val.json"
            path.write_text(json.dumps(found), "utf-8")


def _detections(rng: np.random.Generator, image: dict[str, Any]) -> list[dict[str, Any]]:
    """Jittered boxes of nearly all people, some twice, and boxes of nobody."""
    size = np.array([image["width"], image["height"]], np.float64)
    boxes: list[tuple[npt.NDArray[np.float64], float]] = []
    for person in image["people"]:
        box = np.array(person["bbox"])
        if rng.random() < 0.95:
            boxes.append((_jittered(rng, box, 0.04), float(rng.uniform(0.7, 1.0))))
        if rng.random() < 0.2:
            boxes.append((_jittered(rng, box, 0.12), float(rng.uniform(0.1, 0.6))))
    for _ in range(int(rng.integers(0, 3))):
        extent = size * rng.uniform(0.1, 0.5, 2)
        boxes.append((np.concatenate([rng.uniform(0, size - extent), extent]), float(rng.uniform(0.02, 0.35))))
    return [
        {"image_id": image["id"], "category_id": 1, "bbox": box.round(2).tolist(), "score": round(score, 4)}
        for box, score in boxes
    ]


def _jittered(rng: np.random.Generator, box: npt.NDArray[np.float64], by: float) -> npt.NDArray[np.float64]:
    extent = box[2:] * (1 + rng.normal(0, by, 2)).clip(0.5, 1.5)
    middle = box[:2] + box[2:] / 2 + rng.normal(0, by, 2) * box[2:]
    return np.concatenate([middle - extent / 2, extent])
