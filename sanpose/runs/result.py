"""The result of a finished training, and the cost of a run: the typed parts of a run's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sanpose.config.typed import typed


@dataclass(frozen=True)
class TrainingResult:
    """The figures of the final network by set ("h36m", "mpii", "coco"), in the form of the metrics; the device type and
    the CPU threads of a worker; the multiply-accumulates for one image, and the parameters, of the network."""

    figures: Mapping[str, Mapping[str, object]]
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
    """The cost of a run over all its starts. wall_s: seconds; accelerators: cores or GPUs of all workers; step_s: the
    median seconds of an optimiser step; images_per_s: the median rate; images: training images to the last report."""

    wall_s: float
    workers: int
    device: str
    accelerators: int
    step_s: float | None
    images_per_s: float | None
    images: int
