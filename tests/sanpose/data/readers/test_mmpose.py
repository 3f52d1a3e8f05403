"""Reading Human3.6M as MMPose's .npz and its cameras, without running what a pickle says."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sanpose.data.readers import files, h36m
from sanpose.data.readers.h36m_select import FrameSelection
from sanpose.data.readers.listing import BadSamples, validate
from sanpose.errors import UserError
from sanpose.pose.cameras import project
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.data.readers.reading import CUTS, EVERY, cut, valid


def test_mmpose_metres_become_millimetres(tmp_path: Path) -> None:
    points = tiny.mmpose(tmp_path)
    listing = valid(h36m.read(tmp_path, BadSamples(), EVERY))
    assert listing.columns["keypoints3d"] == pytest.approx(points, abs=1e-2)
    assert listing.columns["keypoints"] == pytest.approx(project(points, tiny.F, tiny.C, tiny.K, tiny.P), abs=1e-3)
    assert listing.columns["action"].tolist() == [2, 2]
    assert listing.columns["subject"].tolist() == [1, 1]
    assert listing.images[0].path.is_file()


@pytest.mark.parametrize("harm", [*CUTS, "overwritten"])
def test_mmpose_damaged_archives(tmp_path: Path, harm: float | str) -> None:
    tiny.mmpose(tmp_path, frames=40)
    path = tmp_path / "h36m_train.npz"
    with np.load(path) as arrays:
        np.savez_compressed(path, **arrays)
    if isinstance(harm, str):
        data = bytearray(path.read_bytes())
        data[80:120] = b"\xff" * 40  # within the compressed bytes, which zlib then refuses
        path.write_bytes(data)
    else:
        cut(path, harm)
    with pytest.raises(UserError, match=r"npz file cannot be read"):
        h36m.read(tmp_path, BadSamples(), EVERY)


def test_mmpose_names_that_cannot_be_understood_are_bad(tmp_path: Path) -> None:
    tiny.mmpose(tmp_path, frames=4)
    path = tmp_path / "h36m_train.npz"
    with np.load(path) as file:
        arrays = dict(file)
    names = arrays["imgname"].astype("U99")
    names[1], names[2] = "odd.jpg", names[2].replace("Directions", "Juggling")
    np.savez(path, **{**arrays, "imgname": names})
    with pytest.raises(UserError, match=r"'odd.jpg' has another form") as error:
        h36m.read(tmp_path, BadSamples(), EVERY)
    assert "sample 1" in str(error.value)
    bad = BadSamples(skip=True)
    listing = validate(h36m.read(tmp_path, bad, EVERY), bad)
    assert listing.columns["annotation"].tolist() == listing.columns["frame"].tolist() == [0, 3]
    assert bad.kinds == {"malformed entry": 2}
    assert "sample 2: 'Juggling_1' is not an action" in bad.messages[1]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [("imgname", np.array("a"), "imgname has shape"), ("S", np.full((2, 17, 4), "a"), "S is of")],
)
def test_mmpose_wrong_arrays(tmp_path: Path, name: str, values: np.ndarray, message: str) -> None:
    tiny.mmpose(tmp_path)
    path = tmp_path / "h36m_train.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, name: values})
    with pytest.raises(UserError, match=message):
        h36m.read(tmp_path, BadSamples(), EVERY)


def test_damaged_pickles(tmp_path: Path) -> None:
    tiny.mmpose(tmp_path)
    path = tmp_path / "cameras.pkl"
    whole = path.read_bytes()
    too_long = b"\x80\x04\x8d" + b"\xff" * 8 + b"."  # a text of 2^64 - 1 bytes
    for data in (*(whole[:keep] for keep in (0, 1, 64, 300, len(whole) - 1)), too_long):
        path.write_bytes(data)
        with pytest.raises(UserError, match="the pickle is refused"):
            files.read_pickle(path)


class _Harm:
    def __reduce__(
        self,
    ) -> tuple[Callable[[str], None], tuple[str]]:  # what an unpickler that trusts its input would run
        return os.mkdir, (str(Path("harm")),)


def test_pickles_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.mmpose(tmp_path)
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps({("S1", "54138969"): _Harm()}))
    with pytest.raises(UserError, match=r"\.mkdir, which is not part of a numpy array"):
        h36m.read(tmp_path, BadSamples(), EVERY)
    np.savez(tmp_path / "h36m_train.npz", imgname=np.array(["a", None], dtype=object), part=1, S=1)
    tiny_cameras = {("S1", "54138969"): {"f": tiny.F, "c": tiny.C, "k": tiny.K, "p": tiny.P, "w": 64, "h": 64}}
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps(tiny_cameras))
    with pytest.raises(UserError, match=r"npz file cannot be read"):
        h36m.read(tmp_path, BadSamples(), EVERY)
    assert not (tmp_path / "harm").exists()


def test_mmpose_frames_that_were_extracted_sparsely(tmp_path: Path) -> None:
    tiny.mmpose(tmp_path, frames=14, step=5)
    assert not any("apart" in note for note in h36m.read(tmp_path, BadSamples(), FrameSelection()).notes)
    notes = h36m.read(tmp_path, BadSamples(), FrameSelection(train_stride=3)).notes
    assert any("training frames are 15 apart, not 3 as requested" in note for note in notes)
