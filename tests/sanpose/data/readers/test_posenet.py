"""Reading Human3.6M as PoseNet JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sanpose.data.readers import h36m
from sanpose.data.readers.listing import BadSamples, validate
from sanpose.errors import UserError
from sanpose.pose.cameras import person_box, project
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.data.readers.reading import EVERY, valid


@pytest.mark.parametrize(("form", "note"), [("t", "t = -R T"), ("T", "the camera's centre")])
def test_posenet_tells_the_two_camera_conventions_apart(tmp_path: Path, form: str, note: str) -> None:
    tiny.posenet(tmp_path, form=form)
    listing = valid(h36m.read(tmp_path, BadSamples(), EVERY))
    points = tiny.in_camera(tiny.people(2, 1))
    assert listing.columns["keypoints3d"] == pytest.approx(points, abs=1e-2)
    assert listing.columns["keypoints"] == pytest.approx(project(points, tiny.F, tiny.C), abs=1e-3)
    assert listing.columns["box"] == pytest.approx(person_box(points[:, 0], tiny.F, tiny.C), abs=1e-3)
    assert listing.columns["visible"][0].tolist() == [2] * 16 + [1]
    assert listing.columns["frame"].tolist() == [0, 1]
    assert any(note in text for text in listing.notes)
    assert listing.extra["cameras"]["name"].tolist() == [b"S1.54138969"]


def test_posenet_refuses_cameras_that_see_nobody(tmp_path: Path) -> None:
    tiny.posenet(tmp_path)
    path = tmp_path / "annotations" / "Human36M_subject1_camera.json"
    camera = json.loads(path.read_text())
    camera["1"]["t"] = [0.0, 0.0, 90000.0]
    tiny.write(path, camera)
    with pytest.raises(UserError, match="in any supported convention"):
        h36m.read(tmp_path, BadSamples(), EVERY)


def test_posenet_missing_and_misshapen_joints(tmp_path: Path) -> None:
    tiny.posenet(tmp_path, frames=4)
    path = tmp_path / "annotations" / "Human36M_subject1_joint_3d.json"
    joints = json.loads(path.read_text())
    joints["2"]["1"]["1"] = joints["2"]["1"]["1"][:16]
    joints["2"]["1"]["2"][5][1] = float("nan")
    del joints["2"]["1"]["3"]
    tiny.write(path, joints)
    with pytest.raises(UserError, match=r"shape \(16, 3\)"):
        h36m.read(tmp_path, BadSamples(), EVERY)
    bad = BadSamples(skip=True)
    assert len(validate(h36m.read(tmp_path, bad, EVERY), bad)) == 1
    assert bad.kinds == {"malformed entry": 2, "coordinates not finite": 1}


def test_posenet_entries_that_cannot_be_understood_are_bad(tmp_path: Path) -> None:
    data = tiny.posenet(tmp_path, frames=5)
    data["images"][0]["frame_idx"] = "first"
    del data["annotations"][1]["image_id"]  # the image has no annotation then
    data["images"][2]["action_idx"] = 99
    path = tmp_path / "annotations" / "Human36M_subject1_data.json"
    tiny.write(path, data)
    bad = BadSamples(skip=True)
    assert validate(h36m.read(tmp_path, bad, EVERY), bad).columns["frame"].tolist() == [3, 4]
    assert bad.kinds == {"malformed entry": 4}
    with pytest.raises(UserError, match=r"annotations\[1\]"):
        h36m.read(tmp_path, BadSamples(), EVERY)


@pytest.mark.parametrize("action", [99, 1, 0, -2])
def test_posenet_actions_are_those_of_human36m(tmp_path: Path, action: int) -> None:
    tiny.posenet(tmp_path, action=action)
    with pytest.raises(UserError, match=f"no action {action} in") as error:
        h36m.read(tmp_path, BadSamples(), EVERY)
    assert "image 0" in str(error.value)
