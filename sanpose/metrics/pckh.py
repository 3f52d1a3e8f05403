"""MPII's PCKh: the share of joints closer to the truth than a fraction of the head's size.

Knows arrays in px, 0-based, of 16 joints in the order of `sanpose.pose.joints.MPII16`. Does not know files, some of
which count pixels from 1.

Source: Andriluka et al., MPII Human Pose (2014) and its evaluation toolkit: the head's size is 0.6 times the head
box's diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from sanpose.errors import UserError
from sanpose.metrics.checks import require_finite, require_shape
from sanpose.metrics.protocol import FigureTable, Protocol, cell
from sanpose.pose.joints import MPII16

HEAD_SCALE = 0.6
_SIDED = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
GROUPS = MappingProxyType(
    {
        "Head": (MPII16.index("head"),),
        **{n: tuple(MPII16.index(f"{side}_{n.lower()}") for side in ("left", "right")) for n in _SIDED},
    }
)
# The mean leaves out pelvis and thorax, which follow from other joints. The upper neck counts, but has no column.
COUNTED = np.array([name not in ("pelvis", "thorax") for name in MPII16.joints])


@dataclass(frozen=True)
class PCKhResult:
    """Per threshold: percentage by group ("Head" .. "Ankle", "Mean"); None where no joint is labelled."""

    scores: dict[float, dict[str, float | None]]
    protocol: Protocol

    def as_dict(self) -> dict[str, object]:
        """The figures (percent) and the protocol, ready for JSON."""
        scores = {f"pckh@{threshold:g}": groups for threshold, groups in self.scores.items()}
        return {"metric": "pckh", "unit": "%", **scores, "protocol": self.protocol.as_dict()}

    def table(self) -> FigureTable:
        """Rows: thresholds. Columns: the groups in the usual order and the mean, percent."""
        columns = (*GROUPS, "Mean")
        rows = tuple((f"PCKh@{t:g}", *(cell(groups[c]) for c in columns)) for t, groups in self.scores.items())
        return FigureTable("MPII, %", ("", *columns), rows)


def head_sizes(headbox: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """0.6 of the diagonal of each head box. headbox: (N, 4) x1, y1, x2, y2 in px -> (N,) px."""
    box = np.asarray(headbox, np.float64)
    return HEAD_SCALE * np.hypot(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])


def evaluate(
    predicted: npt.NDArray[np.floating],
    truth: npt.NDArray[np.floating],
    labelled: npt.NDArray[np.bool_],
    headbox: npt.NDArray[np.floating],
    *,
    thresholds: tuple[float, ...] = (0.5, 0.1),
    boxes: str = "unknown",
    subjects: str = "as given",
    where: object = None,
) -> PCKhResult:
    """PCKh of N people at each threshold.

    predicted, truth: (N, 16, 2) px, both counted from the same origin; labelled: (N, 16) bool; headbox: (N, 4) x1, y1,
    x2, y2 px. A joint is correct when its distance is at most threshold * head size. A group's figure is the mean of
    its left and right joint's percentages; "Mean" weights each of 14 joints by the number of its labels. People whose
    head box is NaN or has no size are left out, and the protocol gives their number. boxes, subjects and where only
    describe. Raises UserError for wrong shapes, predictions that are not finite, or no people to score.
    """
    count = len(truth)
    for name, array, shape in (
        ("the prediction", predicted, (count, 16, 2)),
        ("the ground truth", truth, (count, 16, 2)),
        ("the labels' mask", labelled, (count, 16)),
        ("the head boxes", headbox, (count, 4)),
    ):
        require_shape(name, array, shape, where)
    require_finite("the prediction is", predicted, MPII16.joints, where)
    sizes = head_sizes(headbox)
    usable = np.isfinite(sizes) & (sizes > 0)
    _require_heads(usable, where)
    mask = np.asarray(labelled, bool)[usable]
    labelled_truth = np.where(mask[..., None], np.asarray(truth, np.float64)[usable], 0.0)
    require_finite("the ground truth's labelled joint is", labelled_truth, MPII16.joints, where)
    distance = np.linalg.norm(np.asarray(predicted, np.float64)[usable] - labelled_truth, axis=-1) / sizes[usable, None]
    left_out = count - int(usable.sum())
    return PCKhResult(
        {t: _groups((distance <= t) & mask, mask) for t in thresholds},
        Protocol(
            metric="PCKh",
            unit="%",
            samples=int(usable.sum()),
            subjects=subjects,
            joints="labelled ones of 16; the mean over 14 (no pelvis, no thorax), weighted by their counts",
            stride="every person",
            alignment=f"none; distances in head sizes ({HEAD_SCALE:g} x the head box's diagonal)",
            boxes=boxes,
            notes=(f"{left_out} people left out, whose head box is missing or has no size",) if left_out else (),
        ),
    )


def _require_heads(usable: npt.NDArray[np.bool_], where: object) -> None:
    if not usable.any():
        raise UserError(
            "no person in the ground truth has a head box, and PCKh is measured in head sizes",
            where=where,
            expected="head boxes, as in gt_valid.mat or the official .mat",
            hint="pass gt_valid.mat as --gt, or prepare MPII again with --head-boxes gt_valid.mat",
        )


def _groups(correct: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    hits, counts = correct.sum(0), mask.sum(0)
    out: dict[str, float | None] = {}
    for name, members in GROUPS.items():
        shares = [100.0 * float(hits[j]) / float(counts[j]) for j in members if counts[j]]
        out[name] = sum(shares) / len(shares) if shares else None
    total = int(counts[COUNTED].sum())
    out["Mean"] = 100.0 * float(hits[COUNTED].sum()) / total if total else None
    return out
