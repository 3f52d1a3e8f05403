"""Human3.6M's camera parameters from metadata.xml (the official download), cameras.pkl (MMPose) or cameras.json.

metadata.xml: `w0` holds 300 numbers: 6 extrinsics (3 angles in radians, 3 coordinates of the centre in mm) per camera
and subject at 6 * (camera * 11 + subject - 1), then 9 intrinsics (f2, c2, k3, p2) per camera at 264 + 9 * camera, the
camera counted from 0. cameras.json: {"S1.54138969": {f, c, k, p, w, h, R, T}}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanpose.data.json_files import read_object
from sanpose.data.readers import files
from sanpose.errors import UserError
from sanpose.pose.cameras import SERIALS, Camera

PATTERNS = tuple(f"{folder}{name}" for name in ("metadata.xml", "cameras.pkl", "cameras.json") for folder in ("", "*/"))
_SIZES = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))
_NUMBERS = 300


@dataclass(frozen=True)
class RawCamera:
    """A camera and its extrinsics as the file writes them: rotation (3, 3) and shift (3,), or None."""

    camera: Camera
    rotation: npt.NDArray[np.float64] | None
    shift: npt.NDArray[np.float64] | None

    def extrinsics(self, where: object) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Rotation and shift. Raises UserError where the file has none."""
        if self.rotation is None or self.shift is None:
            raise UserError(f"camera {self.camera.name} has no R and T, which world coordinates need", where=where)
        return self.rotation, self.shift


def read_cameras(src: Path, cameras: Path | None) -> dict[tuple[int, str], RawCamera]:
    """Cameras by (subject, serial), from the file `cameras`, or the first file under `src` that matches. Raises
    UserError for a missing or broken file."""
    paths = [cameras] if cameras else files.find(src, PATTERNS)
    path = files.require(paths, "Human3.6M's camera parameters", src, PATTERNS, "--cameras")[0]
    if path.suffix == ".xml":
        return _from_metadata(path)
    return from_table(files.read_pickle(path) if path.suffix == ".pkl" else read_object(path), path)


def from_table(table: object, path: Path) -> dict[tuple[int, str], RawCamera]:
    """Cameras by (subject, serial) from the content of cameras.pkl or cameras.json. Raises UserError for another."""
    try:
        if not isinstance(table, dict):
            raise TypeError(f"a {type(table).__name__}")
        pairs = [(key.split(".", 1) if isinstance(key, str) else key, entry) for key, entry in table.items()]
        return {(int(s[1:]), str(serial)): _camera(f"{s}.{serial}", entry) for (s, serial), entry in pairs}
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise UserError(
            f"the cameras are not as expected ({error!r})",
            where=path,
            expected="{('S1', '54138969') or 'S1.54138969': {f, c, k, p, w, h, and optionally R, T}, ...}",
        ) from error


def _camera(name: str, entry: Mapping[str, npt.ArrayLike]) -> RawCamera:
    lens = [np.asarray(entry[key], np.float64).reshape(n) for key, n in zip("fckp", (2, 2, 3, 2), strict=True)]
    rotation = np.asarray(entry["R"], np.float64).reshape(3, 3) if "R" in entry else None
    shift = np.asarray(entry["T"], np.float64).reshape(3) if "T" in entry else None
    return RawCamera(Camera(name, (int(np.asarray(entry["w"])), int(np.asarray(entry["h"]))), *lens), rotation, shift)


def _from_metadata(path: Path) -> dict[tuple[int, str], RawCamera]:
    # A regular expression, not an XML parser: only one element is read, and a parser would expand entities.
    match = re.search(r"<w0>\s*\[?([^\]<]*)\]?\s*</w0>", path.read_text(errors="replace"))
    numbers = re.split(r"[\s,;]+", match.group(1).strip()) if match else []
    try:
        w0 = np.array(numbers, np.float64)
    except ValueError as error:
        raise UserError(f"w0 holds an element that is not a number ({error})", where=path) from error
    if len(w0) != _NUMBERS:
        raise UserError(f"w0 holds {len(w0)} numbers", where=path, expected=f"{_NUMBERS}")
    cameras = {}
    for cam, serial in enumerate(SERIALS):
        f, c, k, p = np.split(w0[264 + 9 * cam : 273 + 9 * cam], [2, 4, 7])
        for subject in range(1, 12):
            outer = w0[6 * (cam * 11 + subject - 1) :][:6]
            camera = Camera(f"S{subject}.{serial}", _SIZES[cam], f, c, k, p)
            cameras[subject, serial] = RawCamera(camera, _rotation(outer[:3]), outer[3:])
    return cameras


def _rotation(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """R = R_x R_y R_z (3, 3) of angles (3,) in radians about the fixed axes."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles), np.cos(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: npt.NDArray[np.float64] = about_x @ about_y @ about_z
    return rotation
