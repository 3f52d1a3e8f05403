"""Files of 3D poses to score: a packed Human3.6M file, or `keypoints3d` in .npz or .json. The poses read are in mm."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanpose.data.actions import action_number
from sanpose.data.array_files import Array
from sanpose.errors import UserError
from sanpose.metrics.checks import require_finite
from sanpose.metrics.files import is_packed, numbers, read_arrays, read_packed
from sanpose.metrics.h36m import stride_of
from sanpose.pose.joints import H36M17

MILLIMETRES = {"mm": 1.0, "m": 1000.0}
# A person spans 0.5 to 2.5 m; a pose whose size "in mm" lies within these bounds is in metres.
LOOKS_LIKE_METRES = (0.2, 10.0)
MOST_METRES = 100.0


@dataclass(frozen=True)
class Poses3D:
    """keypoints: (N, 17, 3) mm, camera frame, H36M17 order; action, subject: (N,) or None; stride: text."""

    keypoints: npt.NDArray[np.float64]
    action: npt.NDArray[np.int64] | None
    subject: npt.NDArray[np.int64] | None
    stride: str

    def selected(self, subjects: Collection[int], where: Path) -> npt.NDArray[np.bool_]:
        """Mask (N,) of the samples of these subjects; all when `subjects` is empty. Raises UserError for none."""
        if not subjects:
            return np.ones(len(self.keypoints), bool)
        if self.subject is None:
            raise UserError("the ground truth has no subject numbers", where=where, expected="'subject'")
        mask = np.isin(self.subject, list(subjects))
        if not mask.any():
            present = ", ".join(f"S{s}" for s in np.unique(self.subject))
            raise UserError("the file has no sample of these subjects", where=where, expected=f"some of {present}")
        return mask


def read_poses3d(path: Path, unit: str | None = None) -> Poses3D:
    """Poses from a packed file (.h5), or from `keypoints3d` (N, 17, 3) or (N, 18, 3), whose first 17 joints are read.

    unit: "mm" or "m"; without it, the file's own `unit`, else mm. `action` (numbers 2 .. 16 or names) and `subject`
    (numbers) are optional. Raises UserError for other shapes, and for poses whose size contradicts the unit.
    """
    if is_packed(path):
        return _read_packed(path)
    arrays = read_arrays(path)
    keypoints = numbers(arrays, "keypoints3d", path)
    if keypoints.ndim != 3 or keypoints.shape[1] not in (17, 18) or keypoints.shape[2] != 3:
        raise UserError(
            f"'keypoints3d' has the shape {keypoints.shape}",
            where=path,
            expected=f"(N, 17, 3), in the order {', '.join(H36M17.joints)}; or (N, 18, 3), whose first 17 are read",
        )
    return Poses3D(
        _in_mm(keypoints[:, :17], unit, arrays, path),
        _column(arrays, "action", len(keypoints), path),
        _column(arrays, "subject", len(keypoints), path),
        "as in the ground truth's file",
    )


def _read_packed(path: Path) -> Poses3D:
    columns = read_packed(path, "h36m").columns
    keypoints = columns["keypoints3d"].astype(np.float64)
    return Poses3D(keypoints, columns["action"], columns["subject"], stride_of(columns["frame"]))


def _in_mm(
    keypoints: npt.NDArray[np.float64], unit: str | None, arrays: dict[str, Array], path: Path
) -> npt.NDArray[np.float64]:
    stated = unit or (str(arrays["unit"]) if "unit" in arrays else None)
    if stated is not None and stated not in MILLIMETRES:
        raise UserError(f"the unit '{stated}' is unknown", where=path, expected=" or ".join(MILLIMETRES))
    require_finite("'keypoints3d' is", keypoints, H36M17.joints, path)
    extent = float(np.median(np.ptp(keypoints, axis=1).max(-1))) if len(keypoints) else 0.0
    if stated is None and LOOKS_LIKE_METRES[0] < extent < LOOKS_LIKE_METRES[1]:
        raise UserError(
            f"the poses span {extent:.2f} (median), which looks like metres",
            where=path,
            expected="mm: a person spans 500 to 2500",
            hint="`--unit m` (predictions) or `--gt-unit m` (ground truth); `mm` if the unit really is mm",
        )
    if stated == "m" and extent > MOST_METRES:
        raise UserError(
            f"the poses span {extent:.0f} (median), which cannot be metres",
            where=path,
            hint="`--unit mm` or `--gt-unit mm`",
        )
    return keypoints * MILLIMETRES[stated or "mm"]


def _column(arrays: dict[str, Array], name: str, count: int, path: Path) -> npt.NDArray[np.int64] | None:
    if name not in arrays:
        return None
    values = arrays[name]
    if values.shape != (count,):
        raise UserError(f"'{name}' has the shape {values.shape}", where=path, expected=f"({count},)")
    if name == "action" and values.dtype.kind == "U":
        return np.array([action_number(str(v), where=path) for v in values], np.int64)
    if not np.issubdtype(values.dtype, np.integer):
        raise UserError(f"'{name}' does not hold whole numbers", where=path, expected="Human3.6M's numbers")
    return values.astype(np.int64)
