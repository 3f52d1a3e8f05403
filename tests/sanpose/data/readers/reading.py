"""What the tests of several readers need."""

from __future__ import annotations

from pathlib import Path

from sanpose.data.readers.h36m_select import FrameSelection
from sanpose.data.readers.listing import BadSamples, Listing, validate

EVERY = FrameSelection(train_stride=1, test_stride=1)


def valid(listing: Listing) -> Listing:
    return validate(listing, BadSamples()).used_images()


CUTS = (0, 1, 64, 127, 128, 140, 200, 300, 0.5, 0.99)  # bytes, or the share of them, that is left


def cut(path: Path, keep: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
