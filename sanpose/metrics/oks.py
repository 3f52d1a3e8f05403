"""Object keypoint similarity (OKS), and two refinements before scoring: OKS-NMS, and rescoring by joint scores.

Knows arrays of 17 joints in px in the order of `sanpose.pose.joints.COCO17`. Does not know files or AP.

Sources: COCO's keypoint evaluation page for OKS and its constants; Xiao et al., Simple Baselines (2018), for the
rescoring (joints above 0.2) and the NMS threshold of 0.9.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]

# COCO's constants per joint, in the order of COCO17.
SIGMAS = np.array(
    [.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089]
)  # fmt: skip


def oks(first: Floats, second: Floats, area: Floats, visible: npt.NDArray[np.bool_] | None = None) -> Doubles:
    """Object keypoint similarity of every pose of `first` with every one of `second`, (N, M), 0 .. 1.

    first: (N, 17, 2) px, the reference; second: (M, 17, 2) px; area: px^2, (N,) the references' own or (N, M) for each
    pair; visible: (N, 17), the references' labelled joints; default: all. Without a labelled joint, OKS is 0.
    """
    mask = np.ones(first.shape[:2], bool) if visible is None else np.asarray(visible, bool)
    square = ((first[:, None].astype(np.float64) - second[None]) ** 2).sum(-1)
    area = np.asarray(area, np.float64)
    per_pair = area[:, None] if area.ndim == 1 else area
    exponent = square / (2 * (per_pair[..., None] + np.spacing(1)) * (2 * SIGMAS) ** 2)
    similarity: Doubles = (np.exp(-exponent) * mask[:, None]).sum(-1) / np.maximum(mask.sum(1), 1)[:, None]
    return similarity


def oks_nms(keypoints: Floats, scores: Floats, area: Floats, threshold: float = 0.9) -> npt.NDArray[np.int64]:
    """Indices of one image's remaining poses, best first. A pose removes those of lower score whose OKS is too high.

    keypoints: (N, 17, 2) px; scores: (N,); area: (N,) px^2; a pair uses the mean of its two areas.
    """
    similarity = oks(keypoints, keypoints, (area[:, None] + area[None]) / 2)
    order = np.argsort(-np.asarray(scores), kind="stable")
    alive = np.ones(len(order), bool)
    survivors = []
    for i in order:
        if alive[i]:
            survivors.append(int(i))
            alive &= similarity[i] <= threshold
    return np.array(survivors, np.int64)


def rescore(box_scores: Floats, joint_scores: Floats, threshold: float = 0.2) -> Doubles:
    """Box score times the mean of the joint scores above the threshold; 0 where no joint score is.

    box_scores: (N,), joint_scores: (N, 17), both 0 .. 1 -> (N,).
    """
    above = joint_scores > threshold
    mean = np.where(above, joint_scores, 0.0).sum(1) / np.maximum(above.sum(1), 1)
    product: Doubles = np.asarray(box_scores, np.float64) * mean
    return product
