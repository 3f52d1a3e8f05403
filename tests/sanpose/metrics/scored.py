"""What the tests of `sanpose metrics` score: a packed file, made-up poses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sanpose.data import packed

Run = Callable[..., tuple[int, str, str]]


def h36m_truth() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 400, (6, 17, 3)) + np.array([0, 0, 5000.0])


def pack(path: Path, source: str, columns: dict[str, Any], extra: dict[str, Any] | None = None) -> Path:
    count = len(columns["keypoints"])
    common = {"image": np.zeros(count), "annotation": np.arange(count), "box": np.zeros((count, 4))}
    packed.write(
        path,
        source,
        jpegs=[b"x"],
        lengths=np.array([1]),
        names=["x.jpg"],
        sizes=np.array([[1, 1]], np.int32),
        columns={**common, **columns},
        extra=extra,
    )
    return path


def off_by(millimetres: float) -> np.ndarray:
    """Predictions whose joints, but for the pelvis, are all off by so much."""
    predicted = h36m_truth()
    predicted[:, 1:, 0] += millimetres
    return predicted
