"""The options of synthetic data sets: sizes, seed and scale. Equal options give equal files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Literal, get_args

from sanpose.data.synth.person import SUBJECTS
from sanpose.errors import UserError

SetName = Literal["h36m", "mpii", "coco"]
SETS: tuple[SetName, ...] = get_args(SetName)
TEST_SUBJECTS = (9, 11)
MARK = "SYNTHETIC"
"""The file that marks a folder as synthetic."""
VERSION = 1
"""Increases when the same options give other files."""


@dataclass(frozen=True)
class Options:
    """scale: of the pictures; 1 is 1000 x 1002 px for the studio. h36m_frames, h36m_test_frames: frames per subject,
    action and camera, for training and test subjects. mpii_*, coco_*: numbers of pictures."""

    seed: int = 0
    scale: float = 0.25
    subjects: tuple[int, ...] = tuple(SUBJECTS)
    h36m_frames: int = 12
    h36m_test_frames: int = 5
    mpii_train: int = 2000
    mpii_val: int = 200
    coco_train: int = 2000
    coco_val: int = 200

    def __post_init__(self) -> None:
        if not 0.05 <= self.scale <= 1:
            raise UserError(f"scale {self.scale:g} is out of range", expected="0.05 to 1; 1 is 1000 x 1002 px")
        unknown = [str(s) for s in self.subjects if s not in SUBJECTS]
        if unknown or not self.subjects or len(set(self.subjects)) != len(self.subjects):
            raise UserError(
                f"subjects {', '.join(map(str, self.subjects)) or '(none)'} cannot be made",
                expected="some of " + ", ".join(map(str, SUBJECTS)) + ", each once",
            )
        low = [name for name, value in asdict(self).items() if name.startswith(SETS) and value < 1]
        if low or self.seed < 0:
            raise UserError(f"{', '.join(low) or 'seed'} is too low", expected="1 or more (the seed: 0 or more)")

    @property
    def oversampling(self) -> int:
        """Samples per pixel and axis; small pictures need softer outlines."""
        return 2 if self.scale < 0.5 else 1

    def of(self, name: SetName) -> dict[str, object]:
        """The options on which a set depends, as JSON values."""
        own: dict[str, object] = {key: value for key, value in asdict(self).items() if key.startswith(name)}
        own |= {"seed": self.seed, "scale": self.scale}
        return {**own, "subjects": list(self.subjects)} if name == "h36m" else own

    def frames(self, subject: int) -> int:
        """Frames per action and camera of a subject."""
        return self.h36m_test_frames if subject in TEST_SUBJECTS else self.h36m_frames


PRESETS: Mapping[str, Options] = MappingProxyType(
    {
        "quick": Options(),
        "smoke": Options(
            subjects=(1, 9), h36m_frames=1, h36m_test_frames=1, mpii_train=24, mpii_val=12, coco_train=24, coco_val=12
        ),
    }
)
