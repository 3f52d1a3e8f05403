"""`sanpose metrics pckh`: MATLAB files, packed files, where pixels begin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from sanpose.pose.joints import MPII16
from tests.sanpose.metrics.scored import Run, pack

MAT_JOINTS = (
    "rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor", "neck", "head", "rwri", "relb", "rsho", "lsho",
    "lelb", "lwri",
)  # fmt: skip


def mpii_arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """0-based truth (5, 16, 2), missing (5, 16), head boxes (5, 4) with a head size of 30 px."""
    rng = np.random.default_rng(1)
    corner = rng.uniform(50, 100, (5, 2))
    missing = np.zeros((5, 16))
    missing[0, 0] = 1
    return rng.uniform(0, 500, (5, 16, 2)), missing, np.concatenate([corner, corner + np.array([30, 40])], 1)


@pytest.fixture
def gt_valid(tmp_path: Path) -> Path:
    truth, missing, head = mpii_arrays()
    names = np.array([[*MAT_JOINTS]], dtype=object)
    savemat(
        tmp_path / "gt_valid.mat",
        {
            "jnt_missing": missing.T,
            "pos_gt_src": (truth + 1).transpose(1, 2, 0),
            "headboxes_src": (head + 1).reshape(5, 2, 2).transpose(1, 2, 0),
            "dataset_joints": names,
        },
    )
    return tmp_path / "gt_valid.mat"


def test_pckh_from_matlab_files(run: Run, tmp_path: Path, gt_valid: Path) -> None:
    predicted = mpii_arrays()[0] + 1
    predicted[:, MPII16.index("left_knee"), 0] += [0, 0, 0, 0, 16]
    predicted[:, MPII16.index("left_ankle"), 1] += 3.5
    savemat(tmp_path / "pred.mat", {"preds": predicted})
    code, out, err = run("pckh", "--gt", gt_valid, "--pred", tmp_path / "pred.mat", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["pckh@0.5"]["Knee"] == pytest.approx(90.0)
    assert document["pckh@0.5"]["Mean"] == pytest.approx(100 * 68 / 69)
    assert document["pckh@0.1"]["Ankle"] == pytest.approx(50.0)
    assert document["protocol"]["samples"] == 5
    code, out, _ = run("pckh", "--gt", gt_valid, "--pred", tmp_path / "pred.mat")
    assert code == 0
    assert "PCKh@0.5" in out
    assert "protocol: PCKh [%]; subjects: the 5 people of gt_valid.mat" in out


def test_pckh_counts_pixels_from_0_unless_told(run: Run, tmp_path: Path, gt_valid: Path) -> None:
    # 2.5 px to the left of the truth is within 3 px; one more pixel to the left isn't.
    predicted = mpii_arrays()[0] - np.array([2.5, 0])
    np.savez(tmp_path / "pred.npz", keypoints=predicted)
    arguments = ("pckh", "--gt", gt_valid, "--pred", tmp_path / "pred.npz", "--json")
    assert json.loads(run(*arguments)[1])["pckh@0.1"]["Mean"] == 100.0
    assert json.loads(run(*arguments, "--one-based")[1])["pckh@0.1"]["Mean"] == 0.0


def test_pckh_packed_truth_takes_the_evaluation_split(run: Run, tmp_path: Path) -> None:
    truth, missing, head = mpii_arrays()
    columns = {"keypoints": truth, "visible": 2 * (missing == 0), "headbox": head}
    gt = pack(tmp_path / "mpii.h5", "mpii", {**columns, "train": np.array([1, 1, 0, 0, 0])})
    np.savez(tmp_path / "pred.npz", keypoints=truth[2:])
    code, out, _ = run("pckh", "--gt", gt, "--pred", tmp_path / "pred.npz", "--json")
    assert code == 0
    assert json.loads(out)["protocol"]["samples"] == 3
    gt = pack(tmp_path / "mpii.h5", "mpii", {**columns, "train": np.ones(5)})
    code, _, err = run("pckh", "--gt", gt, "--pred", tmp_path / "pred.npz")
    assert code == 2
    assert "no person of the evaluation split" in err
    code, _, err = run("h36m", "--gt", gt, "--pred", tmp_path / "pred.npz")
    assert code == 2
    assert "this packed file holds mpii" in err


def test_pckh_refuses_another_order_of_joints(run: Run, tmp_path: Path, gt_valid: Path) -> None:
    savemat(tmp_path / "pred.mat", {"preds": np.zeros((5, 17, 2))})
    code, _, err = run("pckh", "--gt", gt_valid, "--pred", tmp_path / "pred.mat")
    assert code == 2
    assert "(5, 17, 2)" in err
    truth, missing, _ = mpii_arrays()
    savemat(
        tmp_path / "other.mat",
        {
            "jnt_missing": missing.T,
            "pos_gt_src": truth.transpose(1, 2, 0),
            "headboxes_src": np.ones((2, 2, 5)),
            "dataset_joints": np.array([[*MAT_JOINTS[::-1]]], dtype=object),
        },
    )
    code, _, err = run("pckh", "--gt", tmp_path / "other.mat", "--pred", tmp_path / "pred.mat")
    assert code == 2
    assert "another order" in err
