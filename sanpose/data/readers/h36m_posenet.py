"""Human3.6M in PoseNet's JSON form: Human36M_subjectN_data.json, _camera.json and _joint_3d.json, and the images.

World joints (17, 3) mm per action, subaction and frame; one camera per subject and number 1 .. 4. Its cameras have no
lens distortion unless they carry `k` and `p`. Two converters disagree about `t`; it is told apart by the root's depth.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanpose.data.actions import ACTIONS
from sanpose.data.packed import CAMERA
from sanpose.data.readers import entries, files
from sanpose.data.readers.h36m_select import FrameSelection, Video
from sanpose.data.readers.listing import Bad, ImageFile, Listing, join, make_columns
from sanpose.errors import UserError
from sanpose.pose.cameras import SERIALS, Camera, Extrinsics, detect_extrinsics, person_box, project

PATTERNS = (
    "annotations/Human36M_subject*_data.json",
    "annot/Human36M_subject*_data.json",
    "Human36M_subject*_data.json",
)
_JOINTS = 17
_INTEGERS = ("id", "width", "height", "action_idx", "subaction_idx", "cam_idx", "frame_idx")


def read(
    src: Path, bad: Bad, select: FrameSelection, *, annotations: Path | None = None, images: Path | None = None
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
    src: Path, path: Path, subject: int, folder: Path | None, select: FrameSelection, cameras: list[Camera], bad: Bad
) -> Listing:
    data = files.read_json(path, dict)
    camera_path = path.with_name(path.name.replace("_data", "_camera"))
    raw = files.read_json(camera_path, dict)
    joints = files.read_json(path.with_name(path.name.replace("_data", "_joint_3d")), dict)
    listed = entries.understood(data, "annotations", ("id", "image_id"), (), path, bad)
    annotation = {entry["image_id"]: entry for entry in listed}
    dropped: Counter[str] = Counter()
    samples: list[_Sample] = []
    for image in entries.understood(data, "images", _INTEGERS, ("file_name",), path, bad):
        fault = select.fault(Video(subject, image["action_idx"], image["subaction_idx"], image["cam_idx"]))
        if fault:
            dropped[fault] += 1
        elif select.frames(np.array(subject), np.array(image["frame_idx"])):
            try:
                samples.append(_sample(image, joints, annotation, path))
            except UserError as error:
                bad.malformed(error)
    placed = _place(camera_path, subject, raw, samples)
    row = {cam: len(cameras) + n for n, cam in enumerate(placed)}
    cameras += [camera for camera, _ in placed.values()]
    columns = _columns(subject, samples, placed, row)
    where = np.array([sample.where for sample in samples], dtype=object)
    notes = sorted({f"camera convention: {extrinsics.convention}" for _, extrinsics in placed.values()})
    images = _images(src, folder, [sample.image for sample in samples])
    return Listing("h36m", images, columns, where, dropped=dropped, notes=notes)


@dataclass(frozen=True)
class _Sample:
    """An entry of `images`, the annotation's id, the joints in the world (17, 3) mm, which of them are seen (17,)."""

    image: dict[str, Any]
    annotation: int
    world: npt.NDArray[np.float64]
    seen: npt.NDArray[np.bool_]
    where: str


def _sample(
    image: dict[str, Any], joints: dict[str, Any], annotation: Mapping[int, dict[str, Any]], path: Path
) -> _Sample:
    where = f"{path}, image {image['id']} ({image['file_name']})"
    entry = annotation.get(image["id"])
    if entry is None:
        raise UserError("the image has no annotation", where=where)
    if image["action_idx"] not in ACTIONS:
        raise UserError(f"there is no action {image['action_idx']} in Human3.6M", where=where, expected="2 .. 16")
    frames: Any = joints
    for key in (str(image["action_idx"]), str(image["subaction_idx"])):
        frames = entries.field(frames, key, f"{where}, in _joint_3d.json")
    world = entries.numbers(
        frames, str(image["frame_idx"]), (_JOINTS, 3), f"{where}, in _joint_3d.json", f"{_JOINTS} joints, x y z each"
    )
    seen = np.ones(_JOINTS)
    if entry.get("keypoints_vis") is not None:
        seen = entries.numbers(entry, "keypoints_vis", (_JOINTS,), where, f"{_JOINTS} marks")
    return _Sample(image, entry["id"], world, seen > 0, where)


def _place(
    path: Path, subject: int, raw: dict[str, Any], samples: list[_Sample]
) -> dict[int, tuple[Camera, Extrinsics]]:
    """Each used camera's intrinsics, and its extrinsics in the convention that its people fit."""
    placed = {}
    for cam in sorted({sample.image["cam_idx"] for sample in samples}):
        where = f"{path}, camera {cam}"
        entry = entries.dictionary(raw, str(cam), path)
        first = next(sample.image for sample in samples if sample.image["cam_idx"] == cam)
        name = SERIALS[cam - 1] if 1 <= cam <= len(SERIALS) else f"camera{cam}"
        lens = [
            entries.numbers(entry, key, (count,), where) if key in entry or key in "fc" else np.zeros(count)
            for key, count in zip("fckp", (2, 2, 3, 2), strict=True)
        ]
        camera = Camera(f"S{subject}.{name}", (first["width"], first["height"]), *lens)
        pelvis = np.array([sample.world[0] for sample in samples if sample.image["cam_idx"] == cam])
        pelvis = pelvis[np.isfinite(pelvis).all(-1)]
        rotation, shift = entries.numbers(entry, "R", (3, 3), where), entries.numbers(entry, "t", (3,), where)
        placed[cam] = camera, detect_extrinsics(rotation, shift, pelvis, camera, where=where)
    return placed


def _columns(
    subject: int,
    samples: list[_Sample],
    placed: Mapping[int, tuple[Camera, Extrinsics]],
    row: Mapping[int, int],
) -> dict[str, npt.NDArray[Any]]:
    count = len(samples)
    world = np.array([sample.world for sample in samples]).reshape(-1, _JOINTS, 3)
    points, pixels, box = np.zeros((count, _JOINTS, 3)), np.zeros((count, _JOINTS, 2)), np.zeros((count, 4))
    number = np.array([sample.image["cam_idx"] for sample in samples], np.int64)
    for cam, (camera, extrinsics) in placed.items():
        mine = number == cam
        points[mine] = extrinsics.apply(world[mine])
        pixels[mine] = project(points[mine], camera.f, camera.c, camera.k, camera.p)
        box[mine] = person_box(points[mine, 0], camera.f, camera.c)
    values = {
        "image": np.arange(count),
        "annotation": [sample.annotation for sample in samples],
        "box": box,
        "keypoints": pixels,
        # All joints of a motion capture are known; the file's mark only tells whether one is seen.
        "visible": [1 + sample.seen for sample in samples],
        "keypoints3d": points,
        "camera": [row[cam] for cam in number.tolist()],
        "subject": np.full(count, subject),
        "action": [sample.image["action_idx"] for sample in samples],
        "subaction": [sample.image["subaction_idx"] for sample in samples],
        "frame": [sample.image["frame_idx"] for sample in samples],
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
            (image["width"], image["height"]),
        )
        for image in images
    ]


def _video(name: str) -> str:
    return name.rsplit("_", 1)[0]
