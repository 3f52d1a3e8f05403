"""`sanpose metrics h36m`: forms of truth and prediction, alignment, subjects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.sanpose.metrics.scored import Run, h36m_truth, off_by


def test_h36m_packed_truth_json_prediction(run: Run, tmp_path: Path, h36m_h5: Path) -> None:
    pred = tmp_path / "pred.json"
    pred.write_text(json.dumps({"keypoints3d": off_by(17.0).tolist(), "unit": "mm"}))
    code, out, err = run("h36m", "--gt", h36m_h5, "--pred", pred, "--subjects", "9,S11", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["mpjpe"]["mean_over_frames"] == pytest.approx(16.0, abs=1e-3)
    assert document["per_action_samples"] == {"Directions": 2, "Discussion": 1, "Walking": 1}
    assert "#1 (MPJPE)" in document["paper_protocol"]
    assert document["protocol"]["samples"] == 4
    assert document["protocol"]["stride"] == "frames that are multiples of 64"

    code, out, _ = run("h36m", "--gt", h36m_h5, "--pred", pred, "--joints", "16")
    assert code == 0
    assert "mean over 3 actions" in out
    assert "17.0" in out
    assert "protocol: MPJPE and PA-MPJPE [mm]; subjects: S5, S9, S11; joints: 16 (without the pelvis)" in out


def test_h36m_eighteen_joints_and_only_the_selected_predictions(run: Run, tmp_path: Path, h36m_h5: Path) -> None:
    eighteen = np.concatenate([off_by(17.0), np.full((6, 1, 3), 1e6)], 1)
    np.savez(tmp_path / "pred.npz", keypoints3d=eighteen[4:])
    code, out, _ = run("h36m", "--gt", h36m_h5, "--pred", tmp_path / "pred.npz", "--subjects", "11", "--json")
    assert code == 0
    assert json.loads(out)["mpjpe"]["mean_over_frames"] == pytest.approx(16.0, abs=1e-3)


def test_h36m_npz_truth_with_action_names_in_metres(run: Run, tmp_path: Path) -> None:
    actions = np.array(["Walking 1", "TakingPhoto", "WalkDog", "Greeting", "Sitting", "Sitting_2"])
    np.savez(tmp_path / "gt.npz", keypoints3d=h36m_truth() / 1000, action=actions, unit="m")
    np.savez(tmp_path / "pred.npz", keypoints3d=off_by(17.0) / 1000)
    arguments = ("h36m", "--gt", tmp_path / "gt.npz", "--pred", tmp_path / "pred.npz", "--json")
    code, out, _ = run(*arguments, "--unit", "m")
    assert code == 0
    assert json.loads(out)["mpjpe"]["per_action"] == pytest.approx(
        {"Greeting": 16, "Sitting": 16, "Photo": 16, "Walking": 16, "WalkDog": 16}
    )
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "looks like metres" in err
    assert "--unit m" in err
    code, _, err = run(*arguments, "--unit", "m", "--gt-unit", "mm", "--subjects", "9")
    assert code == 2
    assert "has no subject numbers" in err


def bad_h36m(name: str, pose: np.ndarray) -> tuple[np.ndarray, str]:
    if name == "joints":
        return pose[:, :16], "'keypoints3d' has the shape (6, 16, 3)"
    if name == "count":
        return pose[:5], "5 predictions"
    pose[3, 2, 0] = np.nan
    return pose, "sample 3, joint 2 (right_knee) is nan (1 of 6"


@pytest.mark.parametrize("name", ["joints", "count", "nan"])
def test_h36m_bad_predictions(run: Run, tmp_path: Path, h36m_h5: Path, name: str) -> None:
    array, message = bad_h36m(name, off_by(1.0))
    np.savez(tmp_path / "pred.npz", keypoints3d=array)
    code, out, err = run("h36m", "--gt", h36m_h5, "--pred", tmp_path / "pred.npz")
    assert (code, out) == (2, "")
    assert message in err
    assert "pred.npz" in err
    assert "expected:" in err


def test_subjects_must_be_numbers(run: Run, h36m_h5: Path) -> None:
    code, _, err = run("h36m", "--gt", h36m_h5, "--pred", h36m_h5, "--subjects", "nine")
    assert code == 2
    assert "9,11 or S9,S11" in err
    code, _, err = run("h36m", "--gt", h36m_h5, "--pred", h36m_h5, "--subjects", "7")
    assert code == 2
    assert "some of S5, S9, S11" in err
