"""Human3.6M's official download: MyPoseFeatures (*.cdf), camera parameters, and frames extracted from the videos.

Layout, per subject S1 .. S11 (spaces in names may be underscores):

    S1/MyPoseFeatures/D3_Positions_mono/Directions 1.54138969.cdf   mm, camera frame; or D3_Positions/Directions 1.cdf,
                                                                    mm, world, which then needs extrinsics
    S1/MyPoseFeatures/D2_Positions/Directions 1.54138969.cdf        px; without it 3D is projected
    metadata.xml, cameras.pkl or cameras.json                       f, c, k, p (and R, T)
    frames/S1/Directions 1.54138969/000001.jpg                      also images/, S1/frames/, S1/Images/, S1/

A frame's number is the digits at the end of its file's name, 1-based (0-based where a video has a frame 0). Frames may
be a subset of the video. Human3.6M's 32 joints become 17.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cdflib
import numpy as np
import numpy.typing as npt

from sanpose.data.actions import action_number
from sanpose.data.array_files import Array
from sanpose.data.packed import CAMERA
from sanpose.data.readers import files
from sanpose.data.readers.h36m_cameras import RawCamera, read_cameras
from sanpose.data.readers.h36m_select import BETWEEN, FROM_ZERO, FrameSelection, Video
from sanpose.data.readers.listing import BadSamples, ImageFile, Listing, join, make_columns
from sanpose.errors import UserError
from sanpose.pose.cameras import SERIALS, Camera, detect_extrinsics, person_box, project

FEATURES = ("S*/MyPoseFeatures", "*/S*/MyPoseFeatures")
_FRAMES = ("frames/{s}", "images/{s}", "{s}/frames", "{s}/Images", "{s}/images", "{s}")
_OF_32 = np.array([0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27])
_SUFFIXES = {".jpg", ".jpeg", ".png"}


def read(
    src: Path, bad: BadSamples, select: FrameSelection, *, images: Path | None = None, cameras: Path | None = None
) -> Listing:
    """The listing of an official download. images: the folder that holds S1/, S5/, ... of extracted frames; cameras:
    metadata.xml, cameras.pkl or cameras.json. None: searched in the usual places.

    Raises UserError for missing or broken files, and where no camera convention fits the world coordinates.
    """
    files.folder(src)
    features = sorted(path for pattern in FEATURES for path in src.glob(pattern) if path.is_dir())
    if not features:
        raise UserError("Human3.6M's pose features are missing", where=src, expected=", ".join(FEATURES))
    table = read_cameras(src, cameras)
    used: dict[tuple[int, int], int] = {}
    parts: list[Listing] = []
    dropped: Counter[str] = Counter()
    for folder in features:
        subject = int(folder.parent.name[1:])
        if not select.includes(subject):
            continue
        for pose in _pose_files(folder):
            for video, serial in _videos(subject, pose):
                fault = select.fault(video)
                if fault:
                    dropped[fault] += 1
                    continue
                raw = table.get((subject, serial))
                if raw is None:
                    raise UserError(f"there are no parameters of camera {serial} for S{subject}", where=src)
                row = used.setdefault((subject, video.camera), len(used))
                part = _read_video(src, pose, video, serial, raw, row, images, select, bad)
                if part is not None:
                    parts.append(part)
    if not parts:
        raise UserError(
            "no extracted frame belongs to any of the videos",
            where=images or src,
            expected=", ".join(name.format(s="S1") + "/Directions 1.54138969/000001.jpg" for name in _FRAMES),
            hint="--images, --subjects, or a smaller --stride",
        )
    rows = [table[subject, SERIALS[camera - 1]].camera.row() for subject, camera in used]
    listing = join(parts)
    dropped.update(listing.dropped)
    return replace(listing, extra={"cameras": np.array(rows, CAMERA)}, dropped=dict(dropped))


def _pose_files(folder: Path) -> list[Path]:
    """The 3D files in the camera frame; without any, those in the world frame."""
    paths = sorted((folder / "D3_Positions_mono").glob("*.cdf")) or sorted((folder / "D3_Positions").glob("*.cdf"))
    if not paths:
        raise UserError(
            "there are no 3D positions", where=folder, expected="D3_Positions_mono/*.cdf or D3_Positions/*.cdf"
        )
    return [path for path in paths if not path.stem.startswith("_ALL")]


def _videos(subject: int, pose: Path) -> Iterator[tuple[Video, str]]:
    """The videos that a 3D file describes: one for a file in the camera frame, four for a file in the world."""
    label, _, serial = pose.stem.rpartition(".")
    in_camera = serial in SERIALS
    label = label if in_camera else pose.stem
    for name in (serial,) if in_camera else SERIALS:
        yield Video(subject, action_number(label, where=pose), 0, SERIALS.index(name) + 1, label), name


def _read_video(
    src: Path,
    pose: Path,
    video: Video,
    serial: str,
    raw: RawCamera,
    row: int,
    images: Path | None,
    select: FrameSelection,
    bad: BadSamples,
) -> Listing | None:
    frames, from_zero = _frames(src, images, video, serial)
    if not frames:
        return None
    points = read_pose(pose, 3)
    number = np.array(sorted(frames), np.int64)
    keep = select.frames(np.full(len(number), video.subject), number)
    dropped = {BETWEEN: count} if (count := int((~keep).sum())) else {}
    number = number[keep]
    for n in number[number >= len(points)]:
        what = f"the frame is beyond the {len(points)} frames of the pose file"
        bad.refuse("frame without pose", what, frames[int(n)])
    number = number[number < len(points)]
    notes = [FROM_ZERO] if from_zero else []
    camera = raw.camera
    if serial not in pose.stem:
        extrinsics = detect_extrinsics(*raw.extrinsics(pose), points[:, 0], camera, where=pose)
        points = extrinsics.apply(points)
        notes.append(f"camera convention: {extrinsics.convention}")
    pixels = _pixels(pose, video, serial, points, camera)
    columns = _columns(points[number], pixels[number], video, camera, row, number)
    listed = [
        ImageFile(frames[n], f"S{video.subject}/{frames[n].parent.name}/{frames[n].name}") for n in number.tolist()
    ]
    where = np.array([f"{pose}, frame {n}" for n in number], dtype=object)
    return Listing("h36m", listed, columns, where, dropped=dropped, notes=notes)


def read_pose(path: Path, dimensions: int) -> npt.NDArray[np.float64]:
    """Variable `Pose` of a .cdf, (1, F, 32 * dimensions), as (F, 17, dimensions), mm or px.

    Raises UserError for a file that is broken, cut short, or of another shape.
    """
    try:
        pose = np.asarray(cdflib.CDF(path).varget("Pose"), np.float64)
    except Exception as error:  # damaged bytes make cdflib raise errors of many types
        raise UserError(
            f"the .cdf cannot be read ({error})", where=path, expected="Human3.6M's pose features, whole"
        ) from error
    if pose.ndim not in (2, 3) or pose.shape[-1] != 32 * dimensions:
        raise UserError(f"Pose has shape {pose.shape}", where=path, expected=f"(1, frames, {32 * dimensions})")
    joints: npt.NDArray[np.float64] = pose.reshape(-1, 32, dimensions)[:, _OF_32]
    return joints


def _pixels(
    pose: Path, video: Video, serial: str, points: npt.NDArray[np.float64], camera: Camera
) -> npt.NDArray[np.float64]:
    """The data set's own 2D joints (F, 17, 2) px; without them, the projected 3D joints."""
    features = pose.parent.parent / "D2_Positions"
    path = features / f"{video.label}.{serial}.cdf"
    if not path.is_file():
        return project(points, camera.f, camera.c, camera.k, camera.p)
    pixels = read_pose(path, 2)
    if len(pixels) != len(points):
        raise UserError(f"{len(pixels)} frames of 2D and {len(points)} of 3D", where=path, expected="equally many")
    return pixels


def _frames(src: Path, images: Path | None, video: Video, serial: str) -> tuple[dict[int, Path], bool]:
    """The extracted frames of a video by 0-based number, empty without any; and whether the files count from 0."""
    subject = f"S{video.subject}"
    bases = [images / subject, images] if images else [src / name.format(s=subject) for name in _FRAMES]
    plain = f"{video.label}.{serial}"
    names = dict.fromkeys(
        prefix + name
        for prefix in ("", f"{subject}_")
        for name in (plain, plain.replace(" ", "_"), plain.replace("_", " "))
    )
    for folder in (base / name for base in bases for name in names):
        numbered = _numbered(folder) if folder.is_dir() else {}
        if numbered:
            first = 0 if 0 in numbered else 1
            return {number - first: path for number, path in numbered.items()}, first == 0
    return {}, False


def _numbered(folder: Path) -> dict[int, Path]:
    """A folder's images by the digits at the end of their names."""
    images = {}
    for path in folder.iterdir():
        digits = re.search(r"(\d+)$", path.stem)
        if path.suffix.lower() in _SUFFIXES and digits:
            images[int(digits.group(1))] = path
    return images


def _columns(
    points: npt.NDArray[np.float64],
    pixels: npt.NDArray[np.float64],
    video: Video,
    camera: Camera,
    row: int,
    frame: npt.NDArray[np.int64],
) -> dict[str, Array]:
    count = len(frame)
    values = {
        "image": np.arange(count),
        "annotation": frame,
        "box": person_box(points[:, 0], camera.f, camera.c),
        "keypoints": pixels,
        "visible": np.full((count, len(_OF_32)), 2),
        "keypoints3d": points,
        "camera": np.full(count, row),
        "subject": np.full(count, video.subject),
        "action": np.full(count, video.action),
        "subaction": np.full(count, video.subaction),
        "frame": frame,
    }
    return make_columns("h36m", values)
