"""sanpose: train, sweep and report the self-attention network (SAN) for 2D and 3D human pose.

The Python API; the commands are in `sanpose.cli`. Importing this package imports neither torch nor NumPy.

    import sanpose

    network = sanpose.load("runs/7a1b2c3d4e")
    people = network.predict(images, boxes)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sanpose.errors import UserError

if TYPE_CHECKING:
    from sanpose.inference.predict import Pinhole, PredictedPoses
    from sanpose.inference.trained import TrainedNetwork
    from sanpose.runs.ledger import RunRecord
    from sanpose.runs.records import RunRecords

__version__ = "0.1.0"
__all__ = [
    "Pinhole",
    "PredictedPoses",
    "RunRecord",
    "RunRecords",
    "TrainedNetwork",
    "UserError",
    "__version__",
    "load",
    "runs",
]


def load(folder: str | os.PathLike[str], checkpoint: str = "last", device: str | None = None) -> TrainedNetwork:
    """The trained network of a run's folder, such as `runs/7a1b2c3d4e`, for `predict`.

    checkpoint: `last`, `best` (the best evaluation during the training), or a checkpoint's name. device: "cpu", "cuda",
    "cuda:1", ...; by default a CUDA device where one is visible, unless the run was configured for the CPU. Raises
    UserError when the run or the checkpoint is missing or damaged, and for a device that is not there.
    """
    from pathlib import Path

    from sanpose.training.own_packages import import_own_packages

    import_own_packages(("sweeps",))
    from sanpose.inference import trained

    return trained.load(Path(folder), checkpoint, device)


def runs(folder: str | os.PathLike[str] = "runs") -> RunRecords:
    """The records of all runs in a folder, in order of their ids. Imports no torch.

    `.to_pandas()` gives a table, `.broken` the folders whose record cannot be read. Raises UserError when the folder
    does not exist.
    """
    from sanpose.training.own_packages import import_own_packages

    import_own_packages(("sweeps",))
    from sanpose.runs import records

    return records.read(folder)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """The public classes, imported on first use: they need torch or NumPy."""
        from importlib import import_module

        modules = {
            "Pinhole": "sanpose.inference.predict",
            "PredictedPoses": "sanpose.inference.predict",
            "RunRecord": "sanpose.runs.ledger",
            "RunRecords": "sanpose.runs.records",
            "TrainedNetwork": "sanpose.inference.trained",
        }
        if name not in modules:
            raise AttributeError(f"module 'sanpose' has no attribute '{name}'")
        return getattr(import_module(modules[name]), name)
