"""Human3.6M in MMPose's form: h36m_{train,test}.npz (or any *h36m*.npz) and cameras.pkl, and the images.

`S` (N, 17, 4) is in metres in the camera frame, `part` (N, 17, 3) in pixels; image names carry subject, action, camera
serial and the 1-based frame. No file can run code: the archive is read without pickles, and cameras.pkl by an
unpickler that accepts numpy arrays only.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sanpose.data import array_files
from sanpose.data.actions import action_number
from sanpose.data.array_files import Array
from sanpose.data.packed import CAMERA
from sanpose.data.readers import files
from sanpose.data.readers.h36m_cameras import from_table
from sanpose.data.readers.h36m_select import BETWEEN, FROM_ZERO, FrameSelection, Video
from sanpose.data.readers.listing import BadSamples, ImageFile, Listing, join, make_columns
from sanpose.errors import UserError
from sanpose.pose.cameras import SERIALS, Camera, person_box

PATTERNS = ("*h36m*.npz", "annotation_body3d/*h36m*.npz", "annotation_body3d/*/*h36m*.npz", "annotations/*h36m*.npz")
_CAMERAS = ("cameras.pkl", "annotation_body3d/cameras.pkl", "annotations/cameras.pkl", "*/cameras.pkl")
_NAME = re.compile(r"(?:.*/)?S(\d{1,9})_([^/]+)\.(\d{8})_(\d{1,9})\.\w+$")
_JOINTS = 17
_MM_PER_M = 1000.0


def read(
    src: Path,
    bad: BadSamples,
    select: FrameSelection,
    *,
    annotations: tuple[Path, ...] = (),
    images: Path | None = None,
    cameras: Path | None = None,
) -> Listing:
    """The listing of an MMPose-form folder. Raises UserError for missing, broken or unsafe files."""
    files.folder(src)
    paths = files.require(annotations or files.find(src, PATTERNS), "MMPose's *.npz", src, PATTERNS, "--annotations")
    camera_paths = [cameras] if cameras else files.find(src, _CAMERAS)
    table = read_cameras(files.require(camera_paths, "cameras.pkl", src, _CAMERAS, "--cameras")[0])
    listing = join([_read_file(src, path, table, images, select, bad) for path in paths])
    rows = np.array([camera.row() for camera in table.values()], CAMERA)
    return replace(
        listing, extra={"cameras": rows}, notes=["3D in the camera frame as written, metres to mm", *listing.notes]
    )


def read_cameras(path: Path) -> dict[tuple[int, str], Camera]:
    """Cameras by (subject, serial) from MMPose's cameras.pkl. Raises UserError for a pickle of anything else."""
    return {key: raw.camera for key, raw in from_table(files.read_pickle(path), path).items()}


class _Frame(NamedTuple):
    """The content of an image's name. row: of the image in the arrays; number: of the frame, as the name counts it."""

    row: int
    video: Video
    serial: str
    number: int


def _read_file(
    src: Path,
    path: Path,
    table: dict[tuple[int, str], Camera],
    folder: Path | None,
    select: FrameSelection,
    bad: BadSamples,
) -> Listing:
    arrays = _load(path)
    named = _named(arrays["imgname"], path, bad)
    notes = [FROM_ZERO] if any(frame.number == 0 for frame in named) else []
    named = named if notes else [frame._replace(number=frame.number - 1) for frame in named]
    subject = np.array([frame.video.subject for frame in named], np.int64)
    keep = select.frames(subject, np.array([frame.number for frame in named], np.int64))
    included = np.array([select.includes(n) for n in subject.tolist()], bool)
    dropped = Counter({BETWEEN: count} if (count := int((included & ~keep).sum())) else {})
    order = {key: n for n, key in enumerate(table)}
    frames: list[_Frame] = []
    for frame in compress(named, keep):
        key = frame.video.subject, frame.serial
        fault = select.fault(frame.video)
        if fault:
            dropped[fault] += 1
        elif key not in order:
            bad.refuse(
                "unknown camera", f"cameras.pkl has no camera S{key[0]}, {key[1]}", f"{path}, sample {frame.row}"
            )
        else:
            frames.append(frame)
    columns = _columns(arrays, frames, order, list(table.values()))
    names = [str(arrays["imgname"][frame.row]) for frame in frames]
    base = files.image_folder(src, folder, ("images", "."), names[0] if names else "")
    listed = [ImageFile(base / name, name) for name in names]
    where = [f"{path}, sample {frame.row} ({name})" for frame, name in zip(frames, names, strict=True)]
    return Listing("h36m", listed, columns, np.array(where, dtype=object), dropped=dropped, notes=notes)


def _load(path: Path) -> dict[str, Array]:
    arrays = array_files.read_npz(path, "MMPose's h36m npz: imgname, part, S, no pickles", ("imgname", "part", "S"))
    count = arrays["imgname"].size
    for name, shape in (("imgname", (count,)), ("part", (count, _JOINTS, 3)), ("S", (count, _JOINTS, 4))):
        if arrays[name].shape != shape:
            raise UserError(f"{name} has shape {arrays[name].shape}", where=path, expected=f"{shape}")
    for name in ("part", "S"):
        if not np.issubdtype(arrays[name].dtype, np.number):
            raise UserError(f"{name} is of {arrays[name].dtype}", where=path, expected="numbers")
    return arrays


def _named(names: Array, path: Path, bad: BadSamples) -> list[_Frame]:
    """The frames that the image names describe; a name of another form is a bad sample."""
    frames = []
    for row, name in enumerate(names):
        try:
            frames.append(_parse(row, str(name), f"{path}, sample {row}"))
        except UserError as error:
            bad.malformed(error)
    return frames


def _parse(row: int, name: str, where: str) -> _Frame:
    match = _NAME.match(name)
    if match is None:
        raise UserError(
            f"the image name '{name}' has another form", where=where, expected="S1_Directions_1.54138969_000001.jpg"
        )
    subject, label, serial, number = match.groups()
    camera = SERIALS.index(serial) + 1 if serial in SERIALS else 0
    video = Video(int(subject), action_number(label, where=where), 0, camera, label)
    return _Frame(row, video, serial, int(number))


def _columns(
    arrays: dict[str, Array], frames: list[_Frame], order: dict[tuple[int, str], int], cameras: list[Camera]
) -> dict[str, Array]:
    rows = np.array([frame.row for frame in frames], np.int64)
    camera = np.array([order[frame.video.subject, frame.serial] for frame in frames], np.int64)
    points = arrays["S"][rows, :, :3].astype(np.float64) * _MM_PER_M
    part = arrays["part"][rows]
    f = np.array([each.f for each in cameras]).reshape(-1, 2)[camera]
    c = np.array([each.c for each in cameras]).reshape(-1, 2)[camera]
    return make_columns(
        "h36m",
        {
            "image": np.arange(len(rows)),
            "annotation": rows,
            "box": person_box(points[:, 0], f, c),
            "keypoints": part[..., :2],
            "visible": 1 + (part[..., 2] > 0),
            "keypoints3d": points,
            "camera": camera,
            "subject": [frame.video.subject for frame in frames],
            "action": [frame.video.action for frame in frames],
            "subaction": [frame.video.subaction for frame in frames],
            "frame": [frame.number for frame in frames],
        },
    )
