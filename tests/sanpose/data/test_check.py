"""The examination of packed files: good ones have no problems, damaged ones have the right ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sanpose.cli import main
from sanpose.data import packed
from sanpose.data.check import contact_sheet, examine
from sanpose.data.prepare import prepare
from sanpose.data.readers import coco, h36m, mpii
from sanpose.data.readers.h36m_select import FrameSelection
from sanpose.data.readers.listing import BadSamples
from tests.sanpose import tiny_sets as tiny


@pytest.fixture
def studio(tmp_path: Path) -> packed.Packed:
    tiny.mmpose(tmp_path, frames=3)
    listing = h36m.read(tmp_path, BadSamples(), FrameSelection(train_stride=1))
    prepare(listing, tmp_path / "a.h5", BadSamples())
    return packed.read(tmp_path / "a.h5")


def changed(file: packed.Packed, **columns: Any) -> packed.Packed:
    merged: Mapping[str, Any] = {**file.columns, **columns}
    return replace(file, columns=merged)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["sanpose", "data", "check", *map(str, words)])
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_a_good_file_has_no_problems(studio: packed.Packed) -> None:
    report = examine(studio)
    assert report.problems == []
    assert (report.samples, report.images, report.decoded) == (3, 3, 3)
    assert report.groups == {"subject": {"S1": 3}, "action": {"Directions": 3}}
    assert set(report.joints.values()) == {3}
    assert report.space is not None
    assert report.space.reprojection_px.max < 0.01
    assert report.space.reprojection_without_distortion_px.mean > 0.01
    assert report.space.pelvis_depth_mm["min"] > 4000


def test_another_camera_frame_is_named(studio: packed.Packed) -> None:
    points = studio.columns["keypoints3d"]
    report = examine(changed(studio, keypoints3d=points * np.float32([1, -1, 1])))
    assert report.space is not None and report.space.frame == "y up"
    assert any("another frame: y up" in problem for problem in report.problems)
    metres = examine(changed(studio, keypoints3d=points / 1000))
    assert any("metres instead of mm" in problem for problem in metres.problems)


def test_2d_that_does_not_fit_3d_is_a_problem(studio: packed.Packed) -> None:
    report = examine(changed(studio, keypoints=studio.columns["keypoints"] + 6))
    assert any("px apart" in problem for problem in report.problems)


def test_faulty_rows_are_problems(studio: packed.Packed) -> None:
    points, boxes = studio.columns["keypoints"].copy(), studio.columns["box"].copy()
    points[1, 3] = np.nan
    boxes[2, 2] = 0
    file = changed(studio, keypoints=points, box=boxes, image=np.array([0, 1, 9]), camera=np.array([0, 0, 5]))
    text = "\n".join(examine(file).problems)
    for part in ("right_ankle", "sample 1", "without area", "rows of 'image'", "rows of 'camera'"):
        assert part in text


def test_missing_and_non_finite_values_are_problems(studio: packed.Packed, tmp_path: Path) -> None:
    points, visible = studio.columns["keypoints"].copy(), studio.columns["visible"].copy()
    points[1, 3, 0], visible[1, 3] = np.nan, 0
    cameras = studio.extra["cameras"].copy()
    cameras["f"][0, 0] = np.inf
    file = replace(changed(studio, keypoints=points, visible=visible), extra={"cameras": cameras})
    text = "\n".join(examine(file).problems)
    assert "1 samples: missing or non-finite coordinates of unlabelled joints (first: sample 1, right_ankle)" in text
    assert "1 rows of 'f of cameras' are missing or not finite" in text
    tiny.coco(tmp_path / "coco")
    tiny.write(tmp_path / "coco" / "det.json", [{"bbox": [1, 2, 30, 40], "image_id": 1, "score": 0.5}])
    prepare(coco.read(tmp_path / "coco", BadSamples()), tmp_path / "c.h5", BadSamples())
    people = packed.read(tmp_path / "c.h5")
    assert examine(people).problems == []
    found = people.extra["detections"].copy()
    found["score"] = np.nan
    file = replace(changed(people, area=np.float32([np.nan, 1])), extra={**people.extra, "detections": found})
    text = "\n".join(examine(file).problems)
    assert "1 rows of 'area'" in text and "1 rows of 'score of detections'" in text


def test_actions_that_are_none_are_problems(studio: packed.Packed) -> None:
    [problem] = examine(changed(studio, action=np.array([2, 99, 16]))).problems
    assert "not an action" in problem and "sample 1: 99" in problem


def test_labels_outside_the_image_are_counted(studio: packed.Packed) -> None:
    points = studio.columns["keypoints"].copy()
    points[0, 5] = [tiny.SIZE, 3]
    report = examine(changed(studio, keypoints=points))
    assert report.outside["left_knee"] == examine(studio).outside.get("left_knee", 0) + 1


def test_splits_head_boxes_and_detections_are_counted(tmp_path: Path) -> None:
    tiny.mpii(tmp_path / "mpii", "train.json", count=2)
    prepare(mpii.read(tmp_path / "mpii", BadSamples()), tmp_path / "m.h5", BadSamples())
    assert examine(packed.read(tmp_path / "m.h5")).groups == {"split": {"training": 2}, "head box": {"unknown": 2}}
    tiny.coco(tmp_path / "coco")
    prepare(coco.read(tmp_path / "coco", BadSamples()), tmp_path / "c.h5", BadSamples())
    assert examine(packed.read(tmp_path / "c.h5")).groups["split"] == {"evaluation": 2}


def test_the_sheet_shows_the_crops_and_is_deterministic(studio: packed.Packed) -> None:
    sheet = contact_sheet(studio)
    assert sheet.shape[1] == 3 * 256
    assert np.array_equal(sheet, contact_sheet(studio))
    bare = contact_sheet(changed(studio, visible=np.zeros_like(studio.columns["visible"])))
    assert (sheet != bare).any()  # the skeletons


def test_the_command(
    studio: packed.Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = studio.path
    assert run(monkeypatch, path) == 0
    assert "no problems found" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "a.check.png")) is not None
    assert run(monkeypatch, path, "--json", "--sheet", tmp_path / "b.png") == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 3
    assert (tmp_path / "b.png").is_file()


def test_where_no_sheet_can_be_written_the_report_stands(
    studio: packed.Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none" / "x.png"
    assert run(monkeypatch, studio.path, "--sheet", missing) == 2
    told = capsys.readouterr()
    assert "no problems found" in told.out and "contact sheet:" not in told.out
    assert told.err == f"the contact sheet cannot be written to {missing}: No such file or directory\n"

    def refuse(path: Path, _image: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("sanpose.pose.draw.write_png", refuse)  # a read-only folder
    assert run(monkeypatch, studio.path) == 0, "nobody has asked for a sheet"
    told = capsys.readouterr()
    assert "no problems found" in told.out and "cannot be written" in told.err
    assert run(monkeypatch, studio.path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sheet"] is None


def test_a_damaged_image_is_a_problem_and_a_cut_file_is_unreadable(
    studio: packed.Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.h5"
    data = bytearray(path.read_bytes())
    start, stop = (studio.bytes_offset + int(end) for end in studio.image_end[:2])
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    assert run(monkeypatch, path, "--all") == 1
    out = capsys.readouterr().out
    assert "problem: image 1" in out and "not a JPEG" in out
    path.write_bytes(data[: len(data) // 2])
    assert run(monkeypatch, path) == 2
    assert "cut short" in capsys.readouterr().err


@pytest.mark.real
def test_real_sets_have_no_problems(real_data: Path, tmp_path: Path) -> None:
    readers = (coco.read, mpii.read, lambda src, bad: h36m.read(src, bad, FrameSelection()))
    for name, read in zip(("coco", "mpii", "h36m"), readers, strict=True):
        prepare(read(real_data / name, BadSamples()), tmp_path / f"{name}.h5", BadSamples())
        report = examine(packed.read(tmp_path / f"{name}.h5"), every_image=True)
        assert report.problems == []
    assert report.space is not None
    assert report.space.reprojection_px.max < 0.2
    assert 0.37 < report.space.reprojection_without_distortion_px.mean < 1.24
