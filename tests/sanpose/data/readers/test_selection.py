"""Which frames of Human3.6M are taken, by protocol, stride and known faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sanpose.data.readers import h36m
from sanpose.data.readers.h36m_select import FrameSelection, Video
from sanpose.data.readers.listing import BadSamples
from sanpose.errors import UserError
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.data.readers.reading import EVERY


def test_h36m_folder_of_no_known_form(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="MyPoseFeatures"):
        h36m.detect(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        h36m.detect(tmp_path / "nowhere")


def test_selection_of_frames_by_protocol() -> None:
    frame = np.arange(0, 130)
    kept = {s: np.flatnonzero(FrameSelection().frames(np.full(130, s), frame)).tolist() for s in (1, 9, 11)}
    assert kept[1] == list(range(0, 130, 5))
    assert kept[9] == kept[11] == [0, 64, 128]
    both = np.flatnonzero(FrameSelection(protocol="both").frames(np.full(130, 9), frame)).tolist()
    assert both == sorted({*range(0, 130, 5), 0, 64, 128})
    assert not FrameSelection(subjects=(5,)).frames(np.full(130, 1), frame).any()


def test_frames_farther_apart_than_the_stride_are_noted() -> None:
    subject = np.repeat([1, 9], 400)
    every, fifth = np.tile(np.arange(400), 2), np.tile(np.arange(400) * 5, 2)

    def notes(select: FrameSelection, frame: np.ndarray) -> list[str]:
        kept = select.frames(subject, frame)
        return select.spacing(subject[kept], frame[kept])

    assert notes(FrameSelection(), every) == []
    [note] = notes(FrameSelection(), fifth)
    assert note.startswith("test frames are 320 apart, not 64 as requested")
    assert notes(FrameSelection(test_stride=65), fifth) == []
    assert notes(FrameSelection(train_stride=1, test_stride=1), fifth) == []  # every frame that is there
    assert notes(FrameSelection(protocol="both"), every) == []
    assert "320 apart" in notes(FrameSelection(protocol="both"), fifth)[0]
    [training, _] = notes(FrameSelection(train_stride=3), fifth + 4)
    assert training.startswith("training frames are 15 apart, not 3")
    assert FrameSelection().spacing(subject[:0], fifth[:0]) == []
    assert FrameSelection().spacing(subject[:1], fifth[:1]) == []


def test_options_that_a_form_does_not_read_are_refused(tmp_path: Path) -> None:
    two = (tmp_path / "a", tmp_path / "b")
    tiny.posenet(tmp_path / "posenet")
    with pytest.raises(UserError, match="reads no --cameras"):
        h36m.read(tmp_path / "posenet", BadSamples(), EVERY, cameras=two[0])
    with pytest.raises(UserError, match="reads one --annotations"):
        h36m.read(tmp_path / "posenet", BadSamples(), EVERY, annotations=two)
    tiny.official(tmp_path / "official")
    with pytest.raises(UserError, match="reads no --annotations"):
        h36m.read(tmp_path / "official", BadSamples(), EVERY, annotations=two[:1])


def test_known_faults_by_number_and_by_name() -> None:
    select = FrameSelection(skip_s9_shifted=True)
    assert select.fault(Video(11, 2, 2, 1)) and select.fault(Video(11, 2, 0, 1, "Directions"))
    assert not select.fault(Video(11, 2, 1, 1)) and not select.fault(Video(11, 2, 0, 1, "Directions 1"))
    assert select.fault(Video(9, 13, 0, 3, "Waiting_1")) and not select.fault(Video(9, 13, 0, 3, "Waiting"))
    assert not FrameSelection().fault(Video(9, 5, 2, 3)) and not FrameSelection(skip_known=False).fault(
        Video(11, 2, 2, 1)
    )
