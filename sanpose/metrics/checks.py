"""Checks that all metrics share: the shape of an array, and finite numbers. An error names the first wrong sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sanpose.errors import UserError


def require_shape(
    name: str, array: npt.NDArray[np.generic], shape: tuple[int | None, ...], where: object = None
) -> None:
    """Raise UserError unless the array has this shape; None stands for any length."""
    fits = array.ndim == len(shape) and all(b is None or a == b for a, b in zip(array.shape, shape, strict=True))
    if not fits:
        expected = ", ".join("N" if n is None else str(n) for n in shape)
        raise UserError(f"{name} has the shape {array.shape}", where=where, expected=f"({expected})")


def require_finite(
    name: str, array: npt.NDArray[np.floating], joints: tuple[str, ...] | None = None, where: object = None
) -> None:
    """Raise UserError naming the first sample (0-based), and with names (J,) the joint, that is NaN or infinite."""
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        joint = f", joint {first[1]} ({joints[first[1]]})" if joints else ""
        count = int(bad.reshape(len(array), -1).any(1).sum())
        raise UserError(
            f"{name} not finite: sample {first[0]}{joint} is {array[first]} ({count} of {len(array)} samples are bad)",
            where=where,
            expected="finite numbers",
            hint="check the program that produced this sample: a metric over NaN has no meaning",
        )
