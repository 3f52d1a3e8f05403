"""The sets in the wild, with 2D only: MPII in the JSON form of HRNet and Simple Baselines, and COCO keypoints."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.io

from sanpose.data.synth.backdrop import jpeg
from sanpose.data.synth.options import Options
from sanpose.data.synth.skeleton import INDEX, Floats
from sanpose.data.synth.wild import Scene, ScenePerson, scene
from sanpose.pose.joints import COCO17, MPII16

Job = tuple[str, int, int]
"""A split, and the first and last (exclusive) number of its pictures."""
_CHUNK = 20
# MPII's joints, where "neck" lies higher than Human3.6M's.
_MPII_NAMES = tuple("upper_neck" if name == "neck" else name for name in MPII16.joints)
_PX_PER_SCALE, _DOWN_PER_SCALE = 200.0, 15.0
_MIN_JOINTS, _MIN_VISIBLE = 6, 4
_COCO_SHRINKS = 1.6
# Corners of the head, in the head's frame, mm.
_SKULL = np.array([(x, y, z) for x in (-95.0, 95.0) for y in (-78.0, 78.0) for z in (15.0, 208.0)])


class MpiiPerson(NamedTuple):
    """A labelled person. annotation: the entry of train.json or valid.json; head: x1, y1, x2, y2, 1-based px."""

    split: str
    annotation: dict[str, object]
    head: list[float]


class CocoAnnotation(TypedDict):
    """A person in the fields of COCO's annotations; `finish_coco` adds the ids."""

    category_id: int
    iscrowd: int
    keypoints: list[float]
    num_keypoints: int
    bbox: list[float]
    area: float


class CocoPicture(NamedTuple):
    """A picture and its people; id: in COCO's `images`."""

    split: str
    id: int
    file_name: str
    width: int
    height: int
    people: list[CocoAnnotation]


Entry = TypeVar("Entry")


def jobs(train: int, val: int) -> list[Job]:
    """The jobs of both splits, each of a few pictures."""
    return [
        (split, first, min(first + _CHUNK, count))
        for split, count in (("train", train), ("val", val))
        for first in range(0, count, _CHUNK)
    ]


def pictures(job: Job) -> int:
    """A job's number of pictures."""
    return job[2] - job[1]


def make_mpii(options: Options, folder: Path, job: Job) -> list[MpiiPerson]:
    """Write a job's pictures into folder/images. Returns the labelled people."""

    def entries(shot: Scene, _number: int, name: str) -> list[MpiiPerson]:
        people = [_mpii_person(shot, person, name, job[0]) for person in shot.people]
        return [person for person in people if person is not None]

    return _shoot(options, job, folder, _Style("images", "{:09d}.jpg", (1280, 720), 0, (0.6, 0.3, 0.1)), entries)


def make_coco(options: Options, folder: Path, job: Job) -> list[CocoPicture]:
    """Write a job's pictures into folder/{train,val}2017."""

    def entries(shot: Scene, number: int, name: str) -> list[CocoPicture]:
        people = [_coco_person(shot, person) for person in shot.people if person.area >= 1]
        return [CocoPicture(job[0], number, name, *shot.view.camera.size, people)]

    style = _Style(f"{job[0]}2017", "{:012d}.jpg", (640, 480), 1, (0.45, 0.3, 0.15, 0.1))
    return _shoot(options, job, folder, style, entries)


class _Style(NamedTuple):
    """size: width, height px of a picture at scale 1; set_number: seeds the set's random numbers; chances: of 1, 2, ...
    people."""

    folder: str
    file_name: str
    size: tuple[int, int]
    set_number: int
    chances: tuple[float, ...]


def _shoot(
    options: Options,
    job: Job,
    folder: Path,
    style: _Style,
    entries: Callable[[Scene, int, str], list[Entry]],
) -> list[Entry]:
    """Draw and write a job's pictures. entries: makes the labels of a scene, its number and its file name.

    COCO's pictures are smaller than MPII's, so they are scaled down less.
    """
    (folder / style.folder).mkdir(exist_ok=True)
    split = 1 if job[0] == "val" else 0
    ratio = min(1.0, _COCO_SHRINKS * options.scale) if style.set_number else options.scale
    labels = []
    for n in range(job[1], job[2]):
        rng = np.random.default_rng([options.seed, 40 + style.set_number, split, n])
        long, short = (max(round(side * ratio), 8) for side in style.size)
        size = (short, long) if rng.random() < 0.25 else (long, short)
        count = 1 + int(rng.choice(len(style.chances), p=style.chances))
        shot = scene(rng, size, count, oversampling=options.oversampling)
        number = n + 1 + 1_000_000 * split
        name = style.file_name.format(number)
        (folder / style.folder / name).write_bytes(jpeg(shot.picture, rng))
        labels += entries(shot, number, name)
    return labels


def _mpii_person(shot: Scene, person: ScenePerson, name: str, split: str) -> MpiiPerson | None:
    """1-based pixels. The scale is the person's whole extent in units of 200 px; the centre is that of the extent,
    moved up by the 15 px per unit by which readers move it down. None for a person whom an annotator would skip: mostly
    outside the picture, mostly hidden, or larger than the picture."""
    pixels, visible = shot.pixels(person, _MPII_NAMES)
    low, high = pixels.min(0), pixels.max(0)
    scale = float(max((high - low).max() * 1.08, 1.0)) / _PX_PER_SCALE
    centre = (low + high) / 2 + 1 - np.array([0.0, _DOWN_PER_SCALE * scale])
    labelled = visible > 0
    overflows = scale * _PX_PER_SCALE > 2 * max(shot.view.camera.size)
    if labelled.sum() < _MIN_JOINTS or (visible == 2).sum() < _MIN_VISIBLE or overflows:
        return None
    points = np.where(labelled[:, None], pixels + 1, -1.0)
    annotation = {
        "image": name,
        "center": centre.round(3).tolist(),
        "scale": round(scale, 6),
        "joints": points.round(3).tolist(),
        "joints_vis": labelled.astype(int).tolist(),
    }
    return MpiiPerson(split, annotation, _head_box(shot, person).tolist())


def _head_box(shot: Scene, person: ScenePerson) -> Floats:
    """x1, y1, x2, y2, 1-based px, of the head, visible or not."""
    offsets = _SKULL * person.lengths.head
    world = person.posed.points(np.full(len(offsets), INDEX["head"]), offsets)
    pixels, _ = shot.view.project(world)
    # The box of the skull's corners is wider than the round skull.
    middle, half = (pixels.min(0) + pixels.max(0)) / 2, (pixels.max(0) - pixels.min(0)) / 2 * 0.88
    return np.concatenate([middle - half, middle + half]).round(3) + 1


def finish_mpii(folder: Path, people: Sequence[MpiiPerson]) -> None:
    """Write annot/train.json, annot/valid.json and annot/gt_valid.mat."""
    (folder / "annot").mkdir()
    for split, stem in (("train", "train"), ("val", "valid")):
        entries = [person.annotation for person in people if person.split == split]
        (folder / "annot" / f"{stem}.json").write_text(json.dumps(entries), "utf-8")
    evaluated = [person for person in people if person.split == "val"]
    names = np.empty((1, len(MPII16)), object)
    short = {"ankle": "ank", "knee": "kne", "hip": "hip", "wrist": "wri", "elbow": "elb", "shoulder": "sho"}
    for i, joint in enumerate(MPII16.joints):
        side, _, part = joint.partition("_")
        names[0, i] = f"{side[0]}{short[part]}" if part else joint
    missing = 1 - np.array([p.annotation["joints_vis"] for p in evaluated], np.float64).reshape(-1, len(MPII16)).T
    points = (
        np.array([p.annotation["joints"] for p in evaluated], np.float64).reshape(-1, len(MPII16), 2).transpose(1, 2, 0)
    )
    heads = np.array([p.head for p in evaluated], np.float64).reshape(-1, 2, 2).transpose(1, 2, 0)
    file = io.BytesIO()
    scipy.io.savemat(
        file,
        {"dataset_joints": names, "jnt_missing": missing, "pos_gt_src": points, "headboxes_src": heads},
    )
    # The first 116 bytes are free text, where SciPy writes the time; equal options must give equal files.
    text = b"MATLAB 5.0 MAT-file, synthetic".ljust(116)
    (folder / "annot" / "gt_valid.mat").write_bytes(text + file.getvalue()[len(text) :])


def _coco_person(shot: Scene, person: ScenePerson) -> CocoAnnotation:
    pixels, visible = shot.pixels(person, COCO17.joints)
    # An annotator does not guess a joint far from the visible part of the person.
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


def finish_coco(options: Options, folder: Path, pictures: Sequence[CocoPicture]) -> None:
    """Write the annotations of both splits, and simulated person detections in the evaluation split."""
    (folder / "annotations").mkdir()
    (folder / "person_detection_results").mkdir()
    category = {
        "supercategory": "person", "id": 1, "name": "person", "keypoints": list(COCO17.joints),
        "skeleton": [[COCO17.index(a) + 1, COCO17.index(b) + 1] for a, b in COCO17.bones],
    }  # fmt: skip
    for split in ("train", "val"):
        images = [picture for picture in pictures if picture.split == split]
        first = 1_000_001 if split == "val" else 1
        people = [(image.id, person) for image in images for person in image.people]
        table = {
            "info": {"description": "synthetic people"},
            "licenses": [],
            "categories": [category],
            "images": [{"id": i.id, "file_name": i.file_name, "width": i.width, "height": i.height} for i in images],
            "annotations": [{"image_id": image, **person, "id": n} for n, (image, person) in enumerate(people, first)],
        }
        (folder / "annotations" / f"person_keypoints_{split}2017.json").write_text(json.dumps(table), "utf-8")
        if split == "val":
            rng = np.random.default_rng([options.seed, 43])
            detections = [detection for image in images for detection in _detections(rng, image)]
            path = folder / "person_detection_results" / "detections_val.json"
            path.write_text(json.dumps(detections), "utf-8")


def _detections(rng: np.random.Generator, image: CocoPicture) -> list[dict[str, object]]:
    """Jittered boxes of nearly all people, some of them twice, and false boxes."""
    size = np.array([image.width, image.height], np.float64)
    boxes: list[tuple[npt.NDArray[np.float64], float]] = []
    for person in image.people:
        box = np.array(person["bbox"])
        if rng.random() < 0.95:
            boxes.append((_jittered(rng, box, 0.04), float(rng.uniform(0.7, 1.0))))
        if rng.random() < 0.2:
            boxes.append((_jittered(rng, box, 0.12), float(rng.uniform(0.1, 0.6))))
    for _ in range(int(rng.integers(0, 3))):
        extent = size * rng.uniform(0.1, 0.5, 2)
        boxes.append((np.concatenate([rng.uniform(0, size - extent), extent]), float(rng.uniform(0.02, 0.35))))
    return [
        {"image_id": image.id, "category_id": 1, "bbox": box.round(2).tolist(), "score": round(score, 4)}
        for box, score in boxes
    ]


def _jittered(rng: np.random.Generator, box: npt.NDArray[np.float64], by: float) -> npt.NDArray[np.float64]:
    extent = box[2:] * (1 + rng.normal(0, by, 2)).clip(0.5, 1.5)
    middle = box[:2] + box[2:] / 2 + rng.normal(0, by, 2) * box[2:]
    return np.concatenate([middle - extent / 2, extent])
