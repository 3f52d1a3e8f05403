"""What a finished training gives, and what a run has cost: the typed parts of a run's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sanpose.config.typed import typed


@dataclass(frozen=True)
class TrainingResult:
    """The figures of the final network by set ("h36m", "mpii", "coco"), as the metrics write them; the device type and
    CPU threads of a worker; multiply-accumulates and parameters of the network for one image."""

    figures: Mapping[str, Any]
    device: str
    threads: int
    macs: int
    parameters: int

    def plain(self) -> dict[str, object]:
        """Plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: object) -> TrainingResult:
        """The result that `plain` gave. Raises UserError for other data."""
        return typed(cls, plain, "")


@dataclass(frozen=True)
class RunCost:
    """What a run has cost over all its starts. wall_s: seconds; accelerators: cores or GPUs over all workers; step_s:
    median seconds of an optimiser step; images_per_s: median rate; images: training images up to the last report."""

    wall_s: float
    workers: int
    device: str
    accelerators: int
    step_s: float | None
    images_per_s: float | None
    images: int
