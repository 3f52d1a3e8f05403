"""The names of everything in a run's folder, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunPaths:
    """The files of the run in `folder`; the folder's name is the run id."""

    folder: Path

    @property
    def run(self) -> str:
        """The run id."""
        return self.folder.name

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.folder / "config.yaml"

    @property
    def provenance(self) -> Path:
        return self.folder / "provenance.json"

    @property
    def result(self) -> Path:
        """The record: status, figures, protocol."""
        return self.folder / "result.json"

    @property
    def journal(self) -> Path:
        """One JSON line per step report, epoch and evaluation."""
        return self.folder / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def predictions(self) -> Path:
        """The pictures of sample predictions."""
        return self.folder / "predictions"

    @property
    def joint_maps(self) -> Path:
        """The joint-relationship maps."""
        return self.folder / "relationship.npz"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def worker_log(self, rank: int) -> Path:
        """What the worker of a rank prints."""
        return self.logs / f"worker-{rank}.log"

    @property
    def ray(self) -> Path:
        """What Ray Train writes."""
        return self.logs / "ray"

    @property
    def control(self) -> Path:
        """Requests to stop."""
        return self.folder / "control"

    @property
    def failure(self) -> Path:
        """The UserError of a worker, for the driver."""
        return self.folder / "failure.json"

    @property
    def driver_lock(self) -> Path:
        """The driver that runs this run holds this lock."""
        return self.folder / ".lock"

    @property
    def worker_lock(self) -> Path:
        """The process that trains this run holds this lock."""
        return self.folder / ".worker.lock"
