"""All readers: the real samples, and any wrong value anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sanpose.data.readers import coco, h36m, mpii
from sanpose.data.readers.h36m_select import FrameSelection
from sanpose.data.readers.listing import BadSamples, Listing, validate
from sanpose.errors import UserError
from sanpose.metrics.coco_entries import checked_truth
from sanpose.pose.cameras import project
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.data.readers.reading import EVERY, valid
from tests.sanpose.wrong_values import WRONG, everywhere


@pytest.mark.real
def test_real_samples(real_data: Path) -> None:
    people = valid(coco.read(real_data / "coco", BadSamples()))
    assert (len(people), len(people.images), len(people.extra["detections"])) == (12, 4, 118)
    assert people.dropped == {"no labelled joint": 2}
    sports = valid(mpii.read(real_data / "mpii", BadSamples()))
    assert sports.columns["box"][0] == pytest.approx([493.1512, -62.07148, 943.6976, 943.6976], abs=1e-3)
    studio = valid(h36m.read(real_data / "h36m", BadSamples(), FrameSelection()))
    assert studio.columns["subject"].tolist() == [1, 5, 7, 8]
    assert studio.columns["frame"].tolist() == [0, 2060, 395, 25]
    camera = studio.extra["cameras"][studio.columns["camera"]][:, None]
    points = studio.columns["keypoints3d"].astype(np.float64)
    own = project(points, camera["f"], camera["c"], camera["k"], camera["p"]) - studio.columns["keypoints"]
    bare = project(points, camera["f"], camera["c"]) - studio.columns["keypoints"]
    assert np.linalg.norm(own, axis=-1).max() < 0.2
    assert np.linalg.norm(bare, axis=-1).mean(-1) == pytest.approx([0.8] * 4, abs=0.5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # 1e300 overflows, and is then refused
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize(
    ("make", "read"),
    [(tiny.coco, coco.read), (tiny.mpii, mpii.read), (tiny.posenet, lambda src, bad: h36m.read(src, bad, EVERY))],
    ids=["coco", "mpii", "posenet"],
)
def test_any_wrong_value_anywhere_is_refused_or_harmless(
    tmp_path: Path, make: Callable[[Path], object], read: Callable[[Path, BadSamples], Listing], wrong: Any
) -> None:
    """Never anything but a UserError, and never a coordinate that is not finite, whatever value is put wherever."""
    make(tmp_path)
    for file in sorted(tmp_path.rglob("*.json")):
        whole = file.read_text()
        for text in everywhere(whole, wrong):
            file.write_text(text)
            for skip in (False, True):
                bad = BadSamples(skip=skip)
                try:
                    listing = validate(read(tmp_path, bad), bad)
                except UserError:
                    continue
                assert np.isfinite(listing.columns["keypoints"]).all()
                if listing.truth is not None:  # what is packed can be scored
                    checked_truth(json.loads(listing.stored_extra["ground_truth"].item()), file)
        file.write_text(whole)
