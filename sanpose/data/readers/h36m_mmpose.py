"""Human3.6M in MMPose's form: h36m_{train,test}.npz (or any *h36m*.npz) and cameras.pkl, and the images.

`S` (N, 17, 4) is in metres in the camera frame, `part` (N, 17, 3) in pixels; image names carry subject, action, camera
serial and the 1-based frame. Neither file is allowed to run code: the archive is read without pickles, cameras.pkl
by an unpickler that knows numpy arrays only.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanpose.data.actions import action_number
from sanpose.data.cameras import SERIALS, Camera, person_box
from sanpose.data.packed import CAMERA
from sanpose.data.readers import files
from sanpose.data.readers.h36m_select import Selection, Video
from sanpose.data.readers.listing import Bad, ImageFile, Listing, join, make_columns
from sanpose.errors import UserError

PATTERNS = ("*h36m*.npz", "annotation_body3d/*h36m*.npz", "annotation_body3d/*/*h36m*.npz", "annotations/*h36m*.npz")
_CAMERAS = ("cameras.pkl", "annotation_body3d/cameras.pkl", "annotations/cameras.pkl", "*/cameras.pkl")
_NAME = re.compile(r"(?:.*/)?S(\d+)_([^/]+)\.(\d{8})_(\d+)\.\w+$")
_JOINTS = 17
_MM_PER_M = 1000.0


def read(
    src: Path,
    bad: Bad,
    select: Selection,
    *,
    annotations: tuple[Path, ...] = (),
    images: Path | None = None,
    cameras: Path | None = None,
) -> Listing:
    """The listing of an MMPose-form folder. Raises UserError for missing, broken or unsafe files."""
    files.folder(src)
    found = files.need(annotations or files.find(src, PATTERNS), "MMPose's *.npz", src, PATTERNS, "--annotations")
    where = [cameras] if cameras else files.find(src, _CAMERAS)
    table = read_cameras(files.need(where, "cameras.pkl", src, _CAMERAS, "--cameras")[0])
    names = list(table)
    listing = join([_read_file(src, path, table, images, select, bad) for path in found])
    rows = np.array([table[name].row() for name in names], CAMERA)
    return replace(listing, extra={"cameras": rows}, notes=["3D in the camera frame as written, metres to mm"])


def read_cameras(path: Path) -> dict[tuple[int, str], Camera]:
    """Cameras by (subject, serial) of MMPose's cameras.pkl. Raises UserError for a pickle of anything else."""
    raw = files.read_pickle(path)
    try:
        return {
            (int(subject[1:]), str(serial)): Camera(
                f"{subject}.{serial}",
                (int(entry["w"]), int(entry["h"])),
                *(
                    np.asarray(entry[n], np.float64).reshape(count)
                    for n, count in zip("fckp", (2, 2, 3, 2), strict=True)
                ),
            )
            for (subject, serial), entry in raw.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"the cameras are not as expected ({error!r})",
            where=path,
            expected="{('S1', '54138969'): {R, T, f, c, k, p, w, h}, ...}",
        ) from error


def _read_file(
    src: Path, path: Path, table: dict[tuple[int, str], Camera], folder: Path | None, select: Selection, bad: Bad
) -> Listing:
    arrays = _load(path)
    count = len(arrays["imgname"])
    parsed = [_parse(str(name), path) for name in arrays["imgname"]]
    videos = [video for video, _, _ in parsed]
    frame = np.array([number - 1 for _, _, number in parsed], np.int64)
    subject = np.array([video.subject for video in videos], np.int64)
    keep = select.frames(subject, frame)
    dropped: Counter[str] = Counter()
    camera_row = np.zeros(count, np.int64)
    order = {key: n for n, key in enumerate(table)}
    for n in np.flatnonzero(keep):
        key = videos[n].subject, parsed[n][1]
        fault = select.fault(videos[n])
        if fault:
            dropped[fault] += 1
        elif key not in order:
            bad.refuse("unknown camera", f"cameras.pkl has no camera S{key[0]}, {key[1]}", f"{path}, sample {n}")
        keep[n] = not fault and key in order
        camera_row[n] = order.get(key, 0)
    rows = np.flatnonzero(keep)
    names = [str(arrays["imgname"][n]) for n in rows]
    cameras = list(table.values())
    columns = _columns(arrays, rows, camera_row, [videos[n] for n in rows], frame, cameras)
    base = files.image_folder(src, folder, ("images", "."), names[0] if names else "")
    listed = [ImageFile(base / name, name) for name in names]
    where = np.array([f"{path}, sample {n} ({name})" for n, name in zip(rows, names, strict=True)], dtype=object)
    return Listing("h36m", listed, columns, where, dropped=dropped)


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("imgname", "part", "S")}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"the archive cannot be read ({error})",
            where=path,
            expected="MMPose's h36m npz: imgname, part, S, no pickles",
        ) from error
    count = len(arrays["imgname"])
    for name, shape in (("part", (count, _JOINTS, 3)), ("S", (count, _JOINTS, 4))):
        if arrays[name].shape != shape:
            raise UserError(f"{name} has shape {arrays[name].shape}", where=path, expected=f"{shape}")
    return arrays


def _parse(name: str, path: Path) -> tuple[Video, str, int]:
    """The video, the camera's serial and the 1-based frame that an image name tells."""
    match = _NAME.match(name)
    if match is None:
        raise UserError(
            f"the image name '{name}' is not as expected", where=path, expected="S1_Directions_1.54138969_000001.jpg"
        )
    subject, label, serial, number = match.groups()
    camera = SERIALS.index(serial) + 1 if serial in SERIALS else 0
    return Video(int(subject), action_number(label), 0, camera, label), serial, int(number)


def _columns(
    arrays: dict[str, npt.NDArray[Any]],
    rows: npt.NDArray[np.int64],
    camera_row: npt.NDArray[np.int64],
    videos: list[Video],
    frame: npt.NDArray[np.int64],
    cameras: list[Camera],
) -> dict[str, npt.NDArray[Any]]:
    points = arrays["S"][rows, :, :3].astype(np.float64) * _MM_PER_M
    part = arrays["part"][rows]
    f = np.array([camera.f for camera in cameras])[camera_row[rows]]
    c = np.array([camera.c for camera in cameras])[camera_row[rows]]
    return make_columns(
        "h36m",
        {
            "image": np.arange(len(rows)),
            "annotation": rows,
            "box": person_box(points[:, 0], f, c),
            "keypoints": part[..., :2],
            "visible": 1 + (part[..., 2] > 0),
            "keypoints3d": points,
            "camera": camera_row[rows],
            "subject": [video.subject for video in videos],
            "action": [video.action for video in videos],
            "subaction": [video.subaction for video in videos],
            "frame": frame[rows],
        },
    )
