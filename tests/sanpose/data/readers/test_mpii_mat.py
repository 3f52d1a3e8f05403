"""Reading MPII's official .mat file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sanpose.data.readers import mpii_mat
from sanpose.data.readers.listing import BadSamples, validate
from sanpose.errors import UserError
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.data.readers.reading import CUTS, cut, valid


def test_mpii_official_mat_with_absent_and_empty_fields(tmp_path: Path) -> None:
    tiny.mpii_mat(tmp_path)
    listing = valid(mpii_mat.read(tmp_path, BadSamples()))
    assert [image.name for image in listing.images] == ["0.jpg"]
    assert listing.dropped == {"no joints annotated": 2}
    visible = listing.columns["visible"][0]
    assert {j: int(visible[j]) for j in np.flatnonzero(visible)} == {0: 2, 6: 1, 9: 2, 10: 2, 11: 2}
    assert listing.columns["keypoints"][0, 6].tolist() == [11, 21]
    assert listing.columns["headbox"][0].tolist() == [4, 5, 14, 15]
    assert listing.columns["box"][0] == pytest.approx([12, 12, 40, 40])


def test_mpii_mat_fields_that_are_missing(tmp_path: Path) -> None:
    tiny.mpii_mat(tmp_path)
    path = tmp_path / "mpii_human_pose_v1_u12_1.mat"
    whole = path.read_bytes()
    for field in (b"image\0", b"name\0", b"x\0", b"objpos\0", b"annopoints\0"):
        path.write_bytes(whole.replace(field, b"_" * (len(field) - 1) + b"\0"))
        bad = BadSamples(skip=True)
        assert not len(validate(mpii_mat.read(tmp_path, bad), bad))
    path.write_bytes(whole.replace(b"name\0", b"____\0"))
    with pytest.raises(UserError, match="the image has no name"):
        mpii_mat.read(tmp_path, BadSamples())


@pytest.mark.parametrize("keep", CUTS)
def test_mpii_mat_cut_short(tmp_path: Path, keep: float) -> None:
    tiny.mpii_mat(tmp_path)
    cut(tmp_path / "mpii_human_pose_v1_u12_1.mat", keep)
    with pytest.raises(UserError, match=r"mat file cannot be read"):
        mpii_mat.read(tmp_path, BadSamples())
