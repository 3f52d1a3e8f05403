"""The one figure of each set that a line has room for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PATHS = {  # figure -> its set, and the keys below it
    "mpjpe_mm": ("h36m", "mpjpe", "mean_over_frames"),
    "pckh": ("mpii", "pckh@0.5", "Mean"),
    "ap": ("coco", "AP"),
}


def headline(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """MPJPE in mm, PCKh@0.5 in %, AP in 0 .. 1, of the sets that were measured."""
    out: dict[str, float | None] = {}
    for name, (source, *path) in PATHS.items():
        if source in figures:
            value: Any = figures[source]
            for key in path:
                value = value[key]
            out[name] = value
    return out


def score(figures: Mapping[str, Any]) -> float | None:
    """What makes a checkpoint the best, lower is better: MPJPE; without Human3.6M, PCKh or AP turned round."""
    line = headline(figures)
    if line.get("mpjpe_mm") is not None:
        return line["mpjpe_mm"]
    other = line.get("pckh", line.get("ap"))
    return None if other is None else -other
