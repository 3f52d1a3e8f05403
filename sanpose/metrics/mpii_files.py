"""Files of MPII poses to score: gt_valid.mat or a packed file, and predictions in .mat, .npz or .json.

MPII's own files count pixels from 1. The arrays read are 0-based.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanpose.data.array_files import Array
from sanpose.errors import UserError
from sanpose.metrics.checks import require_finite, require_shape
from sanpose.metrics.files import is_packed, numbers, read_arrays, read_packed
from sanpose.pose.joints import MPII16

# gt_valid.mat's own names of the joints, in MPII's order; the three trunk joints have several spellings.
_JOINTS = (
    "rank", "rkne", "rhip", "lhip", "lkne", "lank", "", "", "", "head", "rwri", "relb", "rsho", "lsho", "lelb", "lwri",
)  # fmt: skip


@dataclass(frozen=True)
class MpiiTruth:
    """keypoints: (N, 16, 2) px, 0-based; labelled: (N, 16); headbox: (N, 4) x1, y1, x2, y2 px; selected: (N,)."""

    keypoints: npt.NDArray[np.float64]
    labelled: npt.NDArray[np.bool_]
    headbox: npt.NDArray[np.float64]
    selected: npt.NDArray[np.bool_]
    subjects: str


def read_mpii_truth(path: Path) -> MpiiTruth:
    """Ground truth from gt_valid.mat (every person) or from a packed file (its evaluation split is selected).

    gt_valid.mat: jnt_missing (16, N), pos_gt_src (16, 2, N), headboxes_src (2, 2, N), the latter two 1-based px.
    Raises UserError for other shapes, another order of joints, or a packed file without evaluation split.
    """
    if is_packed(path):
        return _read_packed(path)
    arrays = read_arrays(path)
    missing, points, heads = (numbers(arrays, n, path) for n in ("jnt_missing", "pos_gt_src", "headboxes_src"))
    require_shape("'pos_gt_src'", points, (16, 2, None), path)
    require_shape("'jnt_missing'", missing, (16, points.shape[2]), path)
    require_shape("'headboxes_src'", heads, (2, 2, points.shape[2]), path)
    _require_order(arrays, path)
    return MpiiTruth(
        points.transpose(2, 0, 1) - 1.0,
        missing.T == 0,
        heads.transpose(2, 0, 1).reshape(-1, 4) - 1.0,
        np.ones(points.shape[2], bool),
        f"the {points.shape[2]} people of {path.name}",
    )


def read_mpii_prediction(path: Path, one_based: bool | None = None) -> npt.NDArray[np.float64]:
    """Predictions (N, 16, 2), 0-based px: `preds` of a .mat file, `keypoints` of .npz or .json, without the scores.

    one_based: whether the file counts pixels from 1; default: a .mat file does, other files do not. Raises
    UserError for other shapes or unreadable files.
    """
    matlab = path.suffix == ".mat"
    name = "preds" if matlab else "keypoints"
    points = numbers(read_arrays(path), name, path)
    if points.ndim != 3 or points.shape[1] != 16 or points.shape[2] not in (2, 3):
        raise UserError(
            f"'{name}' has the shape {points.shape}",
            where=path,
            expected="(N, 16, 2) in MPII's order, x and y in px; or (N, 16, 3) with a score, which is ignored",
        )
    require_finite(f"'{name}' is", points[..., :2], MPII16.joints, path)
    return points[..., :2] - (1.0 if (matlab if one_based is None else one_based) else 0.0)


def _read_packed(path: Path) -> MpiiTruth:
    columns = read_packed(path, "mpii").columns
    selected = columns["train"] == 0
    if not selected.any():
        raise UserError(
            "this packed file has no person of the evaluation split",
            where=path,
            expected="people with train = 0",
            hint="prepare MPII's validation annotations too",
        )
    return MpiiTruth(
        columns["keypoints"].astype(np.float64),
        columns["visible"] > 0,
        columns["headbox"].astype(np.float64),
        selected,
        "the evaluation split of the packed file",
    )


def _require_order(arrays: dict[str, Array], path: Path) -> None:
    if "dataset_joints" not in arrays:
        return
    names = [str(np.ravel(cell)[0]).strip() for cell in np.ravel(arrays["dataset_joints"])]
    same = len(names) == 16 and all(not ours or ours == theirs for ours, theirs in zip(_JOINTS, names, strict=True))
    if not same:
        raise UserError(
            f"'dataset_joints' has another order: {', '.join(names)}",
            where=path,
            expected=", ".join(n or "*" for n in _JOINTS),
        )
