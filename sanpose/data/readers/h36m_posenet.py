"""Human3.6M in PoseNet's JSON form: Human36M_subjectN_data.json, _camera.json and _joint_3d.json, and the images.

World joints (17, 3) mm per action, subaction and frame; one camera per subject and number 1 .. 4. Its cameras have no
lens distortion unless they carry `k` and `p`. Two converters disagree about `t`; it is told apart by the root's depth.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanpose.data.cameras import SERIALS, Camera, Extrinsics, detect_extrinsics, person_box, project
from sanpose.data.packed import CAMERA
from sanpose.data.readers import files
from sanpose.data.readers.h36m_select import Selection, Video
from sanpose.data.readers.listing import Bad, ImageFile, Listing, join, make_columns
from sanpose.errors import UserError

PATTERNS = (
    "annotations/Human36M_subject*_data.json",
    "annot/Human36M_subject*_data.json",
    "Human36M_subject*_data.json",
)
_JOINTS = 17
_IMAGE_FIELDS = ("id", "file_name", "width", "height", "action_idx", "subaction_idx", "cam_idx", "frame_idx")


def read(
    src: Path, bad: Bad, select: Selection, *, annotations: Path | None = None, images: Path | None = None
) -> Listing:
    """The listing of a PoseNet-form folder. annotations, images: its folders, found in the usual places if not given.

    Raises UserError for missing or broken files, and where no camera convention fits.
    """
    files.folder(src)
    found = files.find(annotations or src, ["Human36M_subject*_data.json"] if annotations else PATTERNS)
    files.need(found, "PoseNet's Human3.6M annotations", annotations or src, PATTERNS, "--annotations")
    cameras: list[Camera] = []
    parts = []
    for path in found:
        subject = int(_matched(r"subject(\d+)_data", path))
        if select.wants(subject):
            parts.append(_read_subject(src, path, subject, images, select, cameras, bad))
    if not parts:
        raise UserError("none of the wanted subjects is in the folder", where=src, hint="--subjects")
    return replace(join(parts), extra={"cameras": np.array([camera.row() for camera in cameras], CAMERA)})


def _matched(pattern: str, path: Path) -> str:
    match = re.search(pattern, path.name)
    if match is None:
        raise UserError("the file name tells no subject", where=path, expected="Human36M_subject<N>_data.json")
    return match.group(1)


def _read_subject(
    src: Path, path: Path, subject: int, folder: Path | None, select: Selection, cameras: list[Camera], bad: Bad
) -> Listing:
    data = files.read_json(path, dict)
    joints = files.read_json(path.with_name(path.name.replace("_data", "_joint_3d")), dict)
    camera_path = path.with_name(path.name.replace("_data", "_camera"))
    raw = files.read_json(camera_path, dict)
    annotation = {entry["image_id"]: entry for entry in _list(path, data, "annotations", ("id", "image_id"))}
    dropped: Counter[str] = Counter()
    chosen: list[tuple[dict[str, Any], Any]] = []
    for image in _list(path, data, "images", _IMAGE_FIELDS):
        video = Video(subject, image["action_idx"], image["subaction_idx"], image["cam_idx"])
        fault = select.fault(video)
        if fault:
            dropped[fault] += 1
            continue
        if not select.frames(np.array(subject), np.array(image["frame_idx"])):
            continue
        world = _world(joints, image, path, bad)
        if world is None:
            continue
        if image["id"] not in annotation:
            bad.refuse("image without annotation", f"{image['file_name']} has no annotation", path)
            continue
        chosen.append((image, world))
    world = np.array([w for _, w in chosen], np.float64).reshape(-1, _JOINTS, 3)
    number = np.array([image["cam_idx"] for image, _ in chosen], np.int64)
    start = len(cameras)
    placed = _place(camera_path, subject, raw, number, world, [image for image, _ in chosen])
    cameras += [camera for camera, _ in placed.values()]
    row = {cam: start + n for n, cam in enumerate(placed)}
    entries = [annotation[image["id"]] for image, _ in chosen]
    columns = _columns(subject, [image for image, _ in chosen], entries, world, placed, row)
    listed = _images(src, folder, [image for image, _ in chosen])
    where = np.array([f"{path}, annotation {entry['id']}" for entry in entries], dtype=object)
    notes = sorted({f"camera convention: {extrinsics.convention}" for _, extrinsics in placed.values()})
    return Listing("h36m", listed, columns, where, dropped=dropped, notes=notes)


def _list(path: Path, data: dict[str, Any], key: str, fields: tuple[str, ...]) -> list[dict[str, Any]]:
    entries = data.get(key)
    if not isinstance(entries, list):
        raise UserError(f"the file has no list '{key}'", where=path, expected="PoseNet's _data.json")
    for n, entry in enumerate(entries):
        missing = [name for name in fields if not isinstance(entry, dict) or name not in entry]
        if missing:
            raise UserError(f"{key}[{n}] lacks {', '.join(missing)}", where=path)
    return entries


def _world(joints: dict[str, Any], image: dict[str, Any], path: Path, bad: Bad) -> Any:
    """World joints (17, 3) of an image, or None where they are missing or misshapen (refused)."""
    keys = tuple(str(image[name]) for name in ("action_idx", "subaction_idx", "frame_idx"))
    entry = f"{path}, image {image['id']} ({image['file_name']})"
    points = joints.get(keys[0], {}).get(keys[1], {}).get(keys[2])
    if points is None:
        bad.refuse(
            "no 3D joints",
            "the _joint_3d.json has no joints for action {}, subaction {}, frame {}".format(*keys),
            entry,
        )
        return None
    if len(points) != _JOINTS or any(len(point) != 3 for point in points):
        bad.refuse("wrong joint count", f"{len(points)} 3D joints", entry, "17 joints, x y z each")
        return None
    return points


def _place(
    path: Path,
    subject: int,
    raw: Mapping[str, Any],
    number: npt.NDArray[np.int64],
    world: npt.NDArray[np.float64],
    images: list[dict[str, Any]],
) -> dict[int, tuple[Camera, Extrinsics]]:
    """Each used camera's intrinsics, and its extrinsics in the convention that its people fit."""
    placed = {}
    for cam in np.unique(number).tolist():
        entry = raw.get(str(cam))
        if not isinstance(entry, dict) or not {"R", "t", "f", "c"} <= entry.keys():
            raise UserError(f"camera {cam} is missing or lacks R, t, f or c", where=path)
        rows = np.flatnonzero(number == cam)
        size = (int(images[rows[0]]["width"]), int(images[rows[0]]["height"]))
        name = SERIALS[cam - 1] if 1 <= cam <= len(SERIALS) else f"camera{cam}"
        f, c, k, p = (
            np.array(entry.get(n, [0.0] * count), np.float64) for n, count in zip("fckp", (2, 2, 3, 2), strict=True)
        )
        camera = Camera(f"S{subject}.{name}", size, f, c, k, p)
        pelvis = world[rows, 0]
        pelvis = pelvis[np.isfinite(pelvis).all(-1)]
        placed[cam] = camera, detect_extrinsics(np.array(entry["R"]), np.array(entry["t"]), pelvis, camera, where=path)
    return placed


def _columns(
    subject: int,
    images: list[dict[str, Any]],
    entries: list[dict[str, Any]],
    world: npt.NDArray[np.float64],
    placed: Mapping[int, tuple[Camera, Extrinsics]],
    row: Mapping[int, int],
) -> dict[str, npt.NDArray[Any]]:
    count = len(images)
    points, pixels, box = np.zeros((count, _JOINTS, 3)), np.zeros((count, _JOINTS, 2)), np.zeros((count, 4))
    number = np.array([image["cam_idx"] for image in images], np.int64)
    for cam, (camera, extrinsics) in placed.items():
        mine = number == cam
        points[mine] = extrinsics.apply(world[mine])
        pixels[mine] = project(points[mine], camera.f, camera.c, camera.k, camera.p)
        box[mine] = person_box(points[mine, 0], camera.f, camera.c)
    # All joints of a motion capture are known; the file's mark only tells whether one is seen.
    seen = [entry.get("keypoints_vis") or [True] * _JOINTS for entry in entries]
    values = {
        "image": np.arange(count),
        "annotation": [entry["id"] for entry in entries],
        "box": box,
        "keypoints": pixels,
        "visible": 1 + (np.array(seen).reshape(count, -1) > 0),
        "keypoints3d": points,
        "camera": [row[cam] for cam in number.tolist()],
        "subject": np.full(count, subject),
        "action": [image["action_idx"] for image in images],
        "subaction": [image["subaction_idx"] for image in images],
        "frame": [image["frame_idx"] for image in images],
    }
    return make_columns("h36m", values)


def _images(src: Path, folder: Path | None, images: list[dict[str, Any]]) -> list[ImageFile]:
    """Image files; a name without its video's folder is found inside that folder too, as PoseNet unpacks it."""
    first = images[0]["file_name"] if images else ""
    base = files.image_folder(src, folder, ("images", "Images", "."), first)
    nested = "/" not in first and not (base / first).is_file() and (base / _video(first) / first).is_file()
    return [
        ImageFile(
            base / _video(image["file_name"]) / image["file_name"] if nested else base / image["file_name"],
            image["file_name"],
            (int(image["width"]), int(image["height"])),
        )
        for image in images
    ]


def _video(name: str) -> str:
    return name.rsplit("_", 1)[0]
