"""Human3.6M in PoseNet's JSON form: Human36M_subjectN_data.json, _camera.json and _joint_3d.json, and the images.

World joints (17, 3) mm per action, subaction and frame; one camera per subject and number 1 .. 4. The cameras have no
lens distortion unless the file has `k` and `p`. Two converters define `t` differently; the pelvis' depth decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanpose.data.actions import ACTIONS
from sanpose.data.array_files import Array
from sanpose.data.json_files import read_object
from sanpose.data.packed import CAMERA
from sanpose.data.readers import entries, files
from sanpose.data.readers.h36m_select import BETWEEN, FrameSelection, Video
from sanpose.data.readers.listing import BadSamples, ImageFile, Listing, join, make_columns
from sanpose.errors import UserError
from sanpose.pose.cameras import SERIALS, Camera, Extrinsics, detect_extrinsics, person_box, project

PATTERNS = (
    "annotations/Human36M_subject*_data.json",
    "annot/Human36M_subject*_data.json",
    "Human36M_subject*_data.json",
)
_JOINTS = 17
_HINT = "convert the poses to Human3.6M's 17 joints; docs/data.md lists them"


def read(
    src: Path, bad: BadSamples, select: FrameSelection, *, annotations: Path | None = None, images: Path | None = None
) -> Listing:
    """The listing of a PoseNet-form folder. annotations, images: its folders; None: searched in the usual places.

    Raises UserError for missing or broken files, and where no camera convention fits.
    """
    files.folder(src)
    paths = files.find(annotations or src, ["Human36M_subject*_data.json"] if annotations else PATTERNS)
    files.require(paths, "PoseNet's Human3.6M annotations", annotations or src, PATTERNS, "--annotations")
    cameras: list[Camera] = []
    parts = []
    for path in paths:
        subject = int(_matched(r"subject(\d+)_data", path))
        if select.includes(subject):
            parts.append(_read_subject(src, path, subject, images, select, cameras, bad))
    if not parts:
        raise UserError("the folder has none of the selected subjects", where=src, hint="--subjects")
    return replace(join(parts), extra={"cameras": np.array([camera.row() for camera in cameras], CAMERA)})


def _matched(pattern: str, path: Path) -> str:
    match = re.search(pattern, path.name)
    if match is None:
        raise UserError("the file name has no subject number", where=path, expected="Human36M_subject<N>_data.json")
    return match.group(1)


def _read_subject(
    src: Path,
    path: Path,
    subject: int,
    folder: Path | None,
    select: FrameSelection,
    cameras: list[Camera],
    bad: BadSamples,
) -> Listing:
    data = read_object(path)
    camera_path = path.with_name(path.name.replace("_data", "_camera"))
    raw = read_object(camera_path)
    joints = read_object(path.with_name(path.name.replace("_data", "_joint_3d")))
    annotations = {a.image_id: a for a in entries.parsed(data, "annotations", _annotation, path, bad)}
    dropped: Counter[str] = Counter()
    samples: list[_Sample] = []
    for image in entries.parsed(data, "images", _image, path, bad):
        fault = select.fault(Video(subject, image.action, image.subaction, image.camera))
        if fault:
            dropped[fault] += 1
        elif select.frames(np.array(subject), np.array(image.frame)):
            try:
                samples.append(_sample(image, joints, annotations.get(image.id), path))
            except UserError as error:
                bad.malformed(error)
        else:
            dropped[BETWEEN] += 1
    placed = _place(camera_path, subject, raw, samples)
    row = {cam: len(cameras) + n for n, cam in enumerate(placed)}
    cameras += [camera for camera, _ in placed.values()]
    columns = _columns(subject, samples, placed, row)
    where = np.array([sample.where for sample in samples], dtype=object)
    notes = sorted({f"camera convention: {extrinsics.convention}" for _, extrinsics in placed.values()})
    images = _image_files(src, folder, [sample.image for sample in samples])
    return Listing("h36m", images, columns, where, dropped=dropped, notes=notes)


class _PoseNetImage(NamedTuple):
    """An entry of `images`; `frame` is 0-based."""

    file_name: str
    id: int
    width: int
    height: int
    action: int
    subaction: int
    camera: int
    frame: int


def _image(entry: object, where: str) -> _PoseNetImage:
    names = ("id", "width", "height", "action_idx", "subaction_idx", "cam_idx", "frame_idx")
    integers = [entries.integer(entry, name, where) for name in names]
    return _PoseNetImage(entries.text(entry, "file_name", where), *integers)


class _Annotation(NamedTuple):
    """An entry of `annotations`."""

    id: int
    image_id: int
    fields: Mapping[str, object]


def _annotation(entry: object, where: str) -> _Annotation:
    identity, image = entries.integer(entry, "id", where), entries.integer(entry, "image_id", where)
    assert isinstance(entry, dict)
    return _Annotation(identity, image, entry)


@dataclass(frozen=True)
class _Sample:
    """An image, its annotation's id, the joints in the world (17, 3) mm, and a mask of the visible ones (17,)."""

    image: _PoseNetImage
    annotation: int
    world: npt.NDArray[np.float64]
    visible: npt.NDArray[np.bool_]
    where: str


def _sample(image: _PoseNetImage, joints: Mapping[str, object], annotation: _Annotation | None, path: Path) -> _Sample:
    where = f"{path}, image {image.id} ({image.file_name})"
    if annotation is None:
        raise UserError("the image has no annotation", where=where)
    if image.action not in ACTIONS:
        raise UserError(f"there is no action {image.action} in Human3.6M", where=where, expected="2 .. 16")
    frames: object = joints
    for key in (str(image.action), str(image.subaction)):
        frames = entries.field(frames, key, f"{where}, in _joint_3d.json")
    world = entries.numbers(
        frames, str(image.frame), (_JOINTS, 3), f"{where}, in _joint_3d.json", f"{_JOINTS} joints, x y z each", _HINT
    )
    visible = np.ones(_JOINTS)
    if annotation.fields.get("keypoints_vis") is not None:
        visible = entries.numbers(annotation.fields, "keypoints_vis", (_JOINTS,), where, f"{_JOINTS} marks", _HINT)
    return _Sample(image, annotation.id, world, visible > 0, where)


def _place(
    path: Path, subject: int, raw: Mapping[str, object], samples: list[_Sample]
) -> dict[int, tuple[Camera, Extrinsics]]:
    """Each used camera's intrinsics, and its extrinsics in the convention under which it sees its people."""
    placed = {}
    for cam in sorted({sample.image.camera for sample in samples}):
        where = f"{path}, camera {cam}"
        entry = entries.dictionary(raw, str(cam), path)
        first = next(sample.image for sample in samples if sample.image.camera == cam)
        name = SERIALS[cam - 1] if 1 <= cam <= len(SERIALS) else f"camera{cam}"
        lens = [
            entries.numbers(entry, key, (count,), where) if key in entry or key in "fc" else np.zeros(count)
            for key, count in zip("fckp", (2, 2, 3, 2), strict=True)
        ]
        camera = Camera(f"S{subject}.{name}", (first.width, first.height), *lens)
        pelvis = np.array([sample.world[0] for sample in samples if sample.image.camera == cam])
        pelvis = pelvis[np.isfinite(pelvis).all(-1)]
        rotation, shift = entries.numbers(entry, "R", (3, 3), where), entries.numbers(entry, "t", (3,), where)
        placed[cam] = camera, detect_extrinsics(rotation, shift, pelvis, camera, where=where)
    return placed


def _columns(
    subject: int,
    samples: list[_Sample],
    placed: Mapping[int, tuple[Camera, Extrinsics]],
    row: Mapping[int, int],
) -> dict[str, Array]:
    count = len(samples)
    world = np.array([sample.world for sample in samples]).reshape(-1, _JOINTS, 3)
    points, pixels, box = np.zeros((count, _JOINTS, 3)), np.zeros((count, _JOINTS, 2)), np.zeros((count, 4))
    number = np.array([sample.image.camera for sample in samples], np.int64)
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
        # Motion capture labels every joint; the file's mark only says whether the joint is visible.
        "visible": [1 + sample.visible for sample in samples],
        "keypoints3d": points,
        "camera": [row[cam] for cam in number.tolist()],
        "subject": np.full(count, subject),
        "action": [sample.image.action for sample in samples],
        "subaction": [sample.image.subaction for sample in samples],
        "frame": [sample.image.frame for sample in samples],
    }
    return make_columns("h36m", values)


def _image_files(src: Path, folder: Path | None, images: list[_PoseNetImage]) -> list[ImageFile]:
    """Image files. A name without its video's folder may lie inside that folder, as PoseNet unpacks it."""
    first = images[0].file_name if images else ""
    base = files.image_folder(src, folder, ("images", "Images", "."), first)
    nested = "/" not in first and not (base / first).is_file() and (base / _video(first) / first).is_file()
    return [
        ImageFile(
            base / _video(image.file_name) / image.file_name if nested else base / image.file_name,
            image.file_name,
            (image.width, image.height),
        )
        for image in images
    ]


def _video(name: str) -> str:
    return name.rsplit("_", 1)[0]
