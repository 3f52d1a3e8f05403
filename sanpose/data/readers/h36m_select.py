"""The choice of Human3.6M's videos and frames: subjects, protocols, strides, and the data set's known faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TRAIN_SUBJECTS = {"1": (1, 5, 6, 7, 8), "2": (1, 5, 6, 7, 8, 9), "both": (1, 5, 6, 7, 8, 9)}
TEST_SUBJECTS = {"1": (9, 11), "2": (11,), "both": (9, 11)}

BETWEEN = "frame that the stride leaves out"
FROM_ZERO = "frames are counted from 0, as a file has the number 0"

# The same video by its numbers (subject, action, subaction, camera) and by its official name.
_CORRUPT = {(11, 2, 2, 1)}, {(11, "Directions", 1)}
# Subject 9's ground truth is shifted in these; every camera.
_SHIFTED = {(5, 2), (10, 2), (13, 1)}, {"Greeting", "SittingDown", "Waiting 1"}


@dataclass(frozen=True)
class Video:
    """One video: subject 1 .. 11, action 2 .. 16, subaction (0: unknown), camera 1 .. 4, and the official
    name's action with its suffix ("Waiting 1"), empty where the data set uses numbers."""

    subject: int
    action: int
    subaction: int
    camera: int
    label: str = ""


@dataclass(frozen=True)
class FrameSelection:
    """subjects: None for all. A training subject has the frames (0-based) that train_stride divides, a test subject
    those that test_stride divides, and a subject that is both (9, with protocol "both") those that either divides. Any
    other subject counts as a training subject."""

    subjects: tuple[int, ...] | None = None
    protocol: str = "1"
    train_stride: int = 5
    test_stride: int = 64
    skip_known: bool = True
    skip_s9_shifted: bool = False

    def frames(self, subject: npt.NDArray[np.integer], frame: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Mask (N,) of the selected frames, from their subjects (N,) and 0-based numbers (N,)."""
        trained, tested = self._roles(subject)
        mask: npt.NDArray[np.bool_] = (trained & (frame % self.train_stride == 0)) | (
            tested & (frame % self.test_stride == 0)
        )
        return mask if self.subjects is None else mask & np.isin(subject, self.subjects)

    def spacing(self, subject: npt.NDArray[np.integer], frame: npt.NDArray[np.integer]) -> list[str]:
        """Notes on selected frames, of subjects (N,) and 0-based numbers (N,), that are farther apart than the stride:
        the folder then holds only some of its videos' frames."""
        trained, tested = self._roles(subject)
        notes = []
        for role, mask, stride in (("training", trained, self.train_stride), ("test", tested, self.test_stride)):
            chosen = frame[mask & (frame % stride == 0)]
            spacing = int(np.gcd.reduce(chosen - chosen[:1]))
            if spacing > stride > 1:  # a stride of 1 accepts any spacing
                notes.append(
                    f"{role} frames are {spacing} apart, not {stride} as requested: the folder lacks the frames "
                    "between; docs/data.md (Human3.6M) describes what to do"
                )
        return notes

    def _roles(self, subject: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Masks (N,) of the training subjects and of the test subjects."""
        tested = np.isin(subject, TEST_SUBJECTS[self.protocol])
        return np.isin(subject, TRAIN_SUBJECTS[self.protocol]) | ~tested, tested

    def includes(self, subject: int) -> bool:
        """Whether the selection has any frames of a subject."""
        return self.subjects is None or subject in self.subjects

    def fault(self, video: Video) -> str | None:
        """The reason why a video is left out, or None."""
        label = video.label.replace("_", " ")
        if self.skip_known and (
            (video.subject, video.action, video.subaction, video.camera) in _CORRUPT[0]
            or (video.subject, label, video.camera) in _CORRUPT[1]
        ):
            return "corrupt video (S11 Directions, camera 1)"
        if (
            self.skip_s9_shifted
            and video.subject == 9
            and ((video.action, video.subaction) in _SHIFTED[0] or label in _SHIFTED[1])
        ):
            return "shifted ground truth (S9)"
        return None
