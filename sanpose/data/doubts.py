"""Signs that annotations mean something else than the format says, such as fractions of the image instead of px.

Such data are valid, and train without an error: so `data prepare` and `data check` say what looks wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sanpose.data.array_files import Array

_LARGEST_FRACTION = 2.0  # px; a person of this size has no pose
_LEAST_LABELLED = 2
_EXCEEDING = 0.2  # share of boxes that end outside their image


def of_columns(columns: Mapping[str, Array]) -> list[str]:
    """What looks wrong in the columns of a packed file or of a listing, a sentence each."""
    if not len(columns["image"]):
        return []
    doubts = [_fractions(columns), *([_heads(columns)] if "headbox" in columns else [])]
    return [doubt for doubt in doubts if doubt]


def of_corner_boxes(boxes: npt.NDArray[np.floating], sizes: npt.NDArray[np.floating], what: str) -> str | None:
    """Whether boxes (N, 4) that should be x, y, width, height look like x1, y1, x2, y2; sizes: (N, 2) px of the images.

    Corners always have x2 > x1 and y2 > y1, and read as width and height many of them end outside the image.
    """
    if not len(boxes):
        return None
    low, high = boxes[:, :2], boxes[:, 2:]
    ordered = (high > low).all()
    inside = (high <= sizes + 1).all()
    exceeding = ((low + high) > sizes + 1).any(-1)
    if not (ordered and inside and exceeding.mean() >= _EXCEEDING):
        return None
    return (
        f"{int(exceeding.sum())} of {len(boxes)} {what} end outside their image, and all fit as x1, y1, x2, y2: "
        "x, y, width, height was expected"
    )


def _fractions(columns: Mapping[str, Array]) -> str | None:
    labelled = columns["visible"] > 0
    extent = np.where(labelled[..., None], np.abs(columns["keypoints"]), 0.0).max((-1, -2))
    tiny = (labelled.sum(-1) >= _LEAST_LABELLED) & (extent <= _LARGEST_FRACTION)
    if not tiny.any():
        return None
    return (
        f"{int(tiny.sum())} samples: all labelled joints lie within {_LARGEST_FRACTION:g} px of the image's corner "
        f"(first: sample {int(np.flatnonzero(tiny)[0])}): fractions of the image instead of px?"
    )


def _heads(columns: Mapping[str, Array]) -> str | None:
    """People of an evaluation split with head boxes whose own head box is missing or has no size."""
    head = columns["headbox"][columns["train"] == 0]
    finite = np.isfinite(head).all(-1)
    if not finite.any():
        return None  # no head boxes at all: the groups say so
    sized = finite & ((head[:, 2:] - head[:, :2]) > 0).all(-1)
    if sized.all():
        return None
    missing, flat = int((~finite).sum()), int((finite & ~sized).sum())
    parts = [f"{missing} have no head box"] * bool(missing) + [f"{flat} have a head box of no size"] * bool(flat)
    return f"of {len(head)} people of the evaluation split, {' and '.join(parts)}: PCKh leaves these people out"
