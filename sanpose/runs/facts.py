"""Typed values from a run's record: what status, report and dashboard read from its plain mappings.

Knows the keys that training writes. A value of another form than expected counts as absent: no odd record is an error
here. Reads no file.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from sanpose.metrics.headline import MPJPE
from sanpose.runs.ledger import RunRecord

_FINITE = 1e100  # a larger number counts as absent: sums and squares of smaller ones are finite


@dataclass(frozen=True)
class RunBill:
    """What a run took, over all its starts. `wall_s`: seconds; `accelerators`: CPU cores or GPUs; `device`: "cuda" for
    GPUs; `images_per_s`: of the training; `images`: training images up to the last report."""

    wall_s: float | None
    accelerators: float | None
    device: str
    images_per_s: float | None
    images: int | None


def bill(run: RunRecord) -> RunBill:
    keys = run.extra.get("bill")
    keys = keys if isinstance(keys, Mapping) else {}
    wall_s, accelerators, images_per_s = (real(keys.get(name)) for name in ("wall_s", "accelerators", "images_per_s"))
    return RunBill(wall_s, accelerators, str(keys.get("device", "")), images_per_s, whole(keys.get("images")))


def cell(run: RunRecord) -> str:
    """The label of Table 1's cell that the run bears, "" for none."""
    return str(run.extra.get("cell", run.config.get("cell")) or "")


def preset(config: Mapping[str, object]) -> str:
    return str(config.get("preset") or "")


def seed(run: RunRecord) -> int | None:
    return whole(setting(run.config, "train.seed"))


def epochs(run: RunRecord) -> int | None:
    """How many epochs the run was to be trained."""
    return whole(setting(run.config, "train.epochs"))


def is_synthetic(run: RunRecord) -> bool:
    """Whether a file that the run was trained on holds synthetic people."""
    return bool(run.extra.get("synthetic"))


def fingerprints(run: RunRecord) -> Mapping[str, object]:
    """Source -> the fingerprint of its file, for the sources that the run uses."""
    recorded = run.extra.get("fingerprints")
    return recorded if isinstance(recorded, Mapping) else {}


def mpjpe(run: RunRecord) -> float | None:
    """MPJPE in mm over all test frames."""
    return number_at(run.metrics, *MPJPE)


def number_at(mapping: Mapping[str, object], *path: str) -> float | None:
    """A number in nested mappings, as `real` reads it."""
    value: object = mapping
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return real(value)


def setting(config: Mapping[str, object], dotted: str) -> object:
    """A configuration's value by its dotted key, None where there is none."""
    value: object = config
    for key in _parts(dotted):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def real(value: object) -> float | None:
    """A value as a float; None where it is no number, or not finite."""
    return float(value) if is_number(value) and abs(value) <= _FINITE else None


def whole(value: object) -> int | None:
    """A value as an integer; None where it is no number, or not finite."""
    return int(value) if is_number(value) and abs(value) <= _FINITE else None


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


@functools.cache
def _parts(dotted: str) -> list[str]:
    return dotted.split(".")
