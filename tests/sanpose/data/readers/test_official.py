"""Reading the official Human3.6M: its features in .cdf, and extracted frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sanpose.data.readers import h36m
from sanpose.data.readers.listing import BadSamples
from sanpose.errors import UserError
from sanpose.pose.cameras import project
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.data.readers.reading import EVERY, valid


def test_official_features_and_frames(tmp_path: Path) -> None:
    points = tiny.official(tmp_path)
    (tmp_path / "frames/S1/Directions 1.54138969/000002.jpg").unlink()  # frames may be a subset
    listing = valid(h36m.read(tmp_path, BadSamples(), EVERY))
    assert listing.columns["frame"].tolist() == [0, 2, 3]
    assert listing.columns["keypoints3d"] == pytest.approx(points[[0, 2, 3]], abs=1e-2)
    pixels = project(points, tiny.F, tiny.C, tiny.K, tiny.P)[[0, 2, 3]]
    assert listing.columns["keypoints"] == pytest.approx(pixels, abs=1e-3)
    assert listing.images[1].path.name == "000003.jpg"


def test_official_world_coordinates_need_and_get_the_extrinsics(tmp_path: Path) -> None:
    points = tiny.official(tmp_path, kind="world")
    listing = valid(h36m.read(tmp_path, BadSamples(), EVERY))
    assert listing.columns["keypoints3d"] == pytest.approx(points, abs=1e-2)
    assert any("R (X - T)" in note for note in listing.notes)


def test_official_frames_named_with_underscores_and_prefix(tmp_path: Path) -> None:
    tiny.official(tmp_path)
    old = tmp_path / "frames/S1/Directions 1.54138969"
    new = tmp_path / "images/S1/S1_Directions_1.54138969"
    new.mkdir(parents=True)
    for path in old.iterdir():
        path.rename(new / f"S1_Directions_1.54138969_{path.name}")
    assert valid(h36m.read(tmp_path, BadSamples(), EVERY)).columns["frame"].tolist() == [0, 1, 2, 3]


def test_official_bad_files(tmp_path: Path) -> None:
    tiny.official(tmp_path)
    path = tmp_path / "S1/MyPoseFeatures/D3_Positions_mono/Directions 1.54138969.cdf"
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    with pytest.raises(UserError, match=r"cdf cannot be read"):
        h36m.read(tmp_path, BadSamples(), EVERY)
    path.unlink()
    tiny.cdf(path, np.zeros((4, 64)))
    with pytest.raises(UserError, match="Pose has shape"):
        h36m.read(tmp_path, BadSamples(), EVERY)
    path.write_bytes(whole)
    (tmp_path / "metadata.xml").unlink()
    with pytest.raises(UserError, match=r"metadata\.xml"):
        h36m.read(tmp_path, BadSamples(), EVERY)
