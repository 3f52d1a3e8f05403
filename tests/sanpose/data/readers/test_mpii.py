"""Reading MPII as JSON, and its evaluation head boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sanpose.data.readers import mpii
from sanpose.data.readers.listing import BadSamples
from sanpose.errors import UserError
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.data.readers.reading import CUTS, cut, valid


def test_mpii_moves_to_zero_based_pixels_and_boxes(tmp_path: Path) -> None:
    persons = tiny.mpii(tmp_path, "train.json")
    listing = valid(mpii.read(tmp_path, BadSamples()))
    assert listing.columns["keypoints"][1] == pytest.approx(np.array(persons[1]["joints"]) - 1, abs=1e-5)
    # centre 33, 30 -> 32, 29 + 15 * 0.2; side 0.2 * 200
    assert listing.columns["box"][0] == pytest.approx([12, 12, 40, 40])
    assert listing.columns["visible"][0].tolist() == [2] * 15 + [0]
    assert listing.columns["train"].tolist() == [1, 1, 1]
    assert np.isnan(listing.columns["headbox"]).all()


def test_mpii_gives_head_boxes_to_valid_in_its_order(tmp_path: Path) -> None:
    tiny.mpii(tmp_path, "train.json", count=2, first=10)
    tiny.mpii(tmp_path, "valid.json", count=3)
    heads = np.arange(12.0).reshape(2, 2, 3)
    scipy.io.savemat(tmp_path / "annot" / "gt_valid.mat", {"headboxes_src": heads})
    listing = valid(mpii.read(tmp_path, BadSamples()))
    assert listing.columns["train"].tolist() == [1, 1, 0, 0, 0]
    assert np.isnan(listing.columns["headbox"][:2]).all()
    expected = [[*heads[0, :, n], *heads[1, :, n]] for n in range(3)]
    assert listing.columns["headbox"][2:] == pytest.approx(np.array(expected) - 1)
    scipy.io.savemat(tmp_path / "annot" / "gt_valid.mat", {"headboxes_src": heads[..., :2]})
    with pytest.raises(UserError, match="2 head boxes for 3 persons"):
        mpii.read(tmp_path, BadSamples())


def test_mpii_wrong_joints_are_refused(tmp_path: Path) -> None:
    persons = tiny.mpii(tmp_path)
    persons[1]["joints"] = persons[1]["joints"][:15]
    persons[2].pop("scale")
    tiny.write(tmp_path / "annot" / "valid.json", persons)
    with pytest.raises(UserError, match=r"joints' has shape \(15, 2\)"):
        mpii.read(tmp_path, BadSamples())
    bad = BadSamples(skip=True)
    assert len(mpii.read(tmp_path, bad)) == 1
    assert bad.kinds == {"malformed entry": 2}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("keep", CUTS)
def test_head_boxes_cut_short(tmp_path: Path, keep: float, compressed: bool) -> None:
    tiny.mpii(tmp_path)
    path = tmp_path / "annot" / "gt_valid.mat"
    heads = np.random.default_rng(0).uniform(0, 50, (2, 2, 90))
    scipy.io.savemat(path, {"headboxes_src": heads}, do_compression=compressed)
    cut(path, keep)
    with pytest.raises(UserError, match=r"mat file cannot be read"):
        mpii.read(tmp_path, BadSamples())


def test_head_boxes_are_numbers_of_the_right_shape(tmp_path: Path) -> None:
    tiny.mpii(tmp_path)
    for wrong in (np.zeros((2, 3, 3)), np.array([["a", "b"]], dtype=object), np.array("text")):
        scipy.io.savemat(tmp_path / "annot" / "gt_valid.mat", {"headboxes_src": wrong})
        with pytest.raises(UserError, match=r"headboxes_src has shape"):
            mpii.read(tmp_path, BadSamples())
    scipy.io.savemat(tmp_path / "annot" / "gt_valid.mat", {"heads": np.zeros((2, 2, 3))})
    with pytest.raises(UserError, match="headboxes_src"):
        mpii.read(tmp_path, BadSamples())


def test_head_boxes_without_an_evaluation_split_are_refused(tmp_path: Path) -> None:
    tiny.mpii(tmp_path, "train.json")
    heads = tmp_path / "gt_valid.mat"
    scipy.io.savemat(heads, {"headboxes_src": np.zeros((2, 2, 3))})
    with pytest.raises(UserError, match="no annotation file is of that split"):
        mpii.read(tmp_path, BadSamples(), head_boxes=heads)
    assert len(mpii.read(tmp_path, BadSamples(), head_boxes=heads, split="val")) == 3
