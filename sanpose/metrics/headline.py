"""Where each figure stands in an evaluation's figures, and the one figure per set that a line of text has room for.

Figures are the JSON that `evaluation.measure.evaluate` writes: by set, then as each metric's `as_dict` lays them out.
"""

from __future__ import annotations

from collections.abc import Mapping

FigurePath = tuple[str, ...]
"""The set ("h36m", "mpii", "coco"), and the keys below it."""

MPJPE: FigurePath = ("h36m", "mpjpe", "mean_over_frames")
PA_MPJPE: FigurePath = ("h36m", "pa_mpjpe", "mean_over_frames")
PA_MPJPE_SCALED: FigurePath = ("h36m", "pa_mpjpe_scaled", "mean_over_frames")
UNTRAINED_MPJPE: FigurePath = ("h36m", "untrained_mpjpe")
MEAN_POSE_MPJPE: FigurePath = ("h36m", "mean_pose_mpjpe")
PCKH: FigurePath = ("mpii", "pckh@0.5", "Mean")
AP: FigurePath = ("coco", "AP")

PATHS: dict[str, FigurePath] = {"mpjpe_mm": MPJPE, "pckh": PCKH, "ap": AP}


def figure(figures: Mapping[str, object], path: FigurePath) -> float | None:
    """The figure at a path; None where its value is not a number, as where there was nothing to measure.

    Raises KeyError or TypeError where the path does not exist.
    """
    value: object = figures
    for key in path:
        if not isinstance(value, Mapping):
            raise TypeError(f"there is no {key!r} in {value!r:.80}")
        value = value[key]
    return value if isinstance(value, (int, float)) else None


def headline(figures: Mapping[str, object]) -> dict[str, float | None]:
    """MPJPE in mm, PCKh@0.5 in %, AP in 0 .. 1, of the sets that were measured."""
    return {name: figure(figures, path) for name, path in PATHS.items() if path[0] in figures}


def score(figures: Mapping[str, object]) -> float | None:
    """The figure by which a checkpoint is the best, lower is better: MPJPE; without Human3.6M, minus PCKh or AP."""
    line = headline(figures)
    if line.get("mpjpe_mm") is not None:
        return line["mpjpe_mm"]
    other = line.get("pckh", line.get("ap"))
    return None if other is None else -other
