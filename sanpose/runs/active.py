"""A run in progress: the driver starts it, holds its folder, and is the only writer of its record."""

from __future__ import annotations

import datetime
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from sanpose import disk
from sanpose.config.schema import Config
from sanpose.errors import UserError
from sanpose.runs import control, facts, journal, ledger, provenance
from sanpose.runs.identity import Identified
from sanpose.runs.ledger import RunRecord
from sanpose.runs.locks import Busy, hold
from sanpose.runs.lookup import read, recorded
from sanpose.runs.paths import RunPaths
from sanpose.runs.result import RunCost, TrainingResult
from sweeps.files import BrokenRecord

_PACKAGES = ("sanpose", "torch", "torchvision", "ray", "deepspeed", "numpy", "opencv-python-headless", "pycocotools")


@dataclass
class ActiveRun:
    """A run that this process has started and holds. Exactly one of done, failed, pruned, interrupted ends the run.

    started: UTC, ISO 8601. earlier_s: wall seconds of the earlier starts. start_s: time.monotonic() of this start.
    device: "cpu" or "cuda"; None until that is known.
    """

    identified: Identified
    started: str
    earlier_s: float
    lock: IO[str]
    start_s: float
    device: str | None = None

    @property
    def config(self) -> Config:
        return self.identified.config

    @property
    def paths(self) -> RunPaths:
        return self.identified.paths

    def done(self, result: TrainingResult) -> RunRecord:
        """Record the result of the training."""
        values = result.plain()
        figures = values.pop("figures")
        protocol = {name: _protocol(measured) for name, measured in result.figures.items()}
        return self._end("done", result, metrics=figures, protocol=protocol, **values)

    def failed(self, reason: str) -> RunRecord:
        return self._end("failed", reason=reason or "unknown")

    def pruned(self) -> RunRecord:
        return self._end("pruned")

    def interrupted(self) -> RunRecord:
        return self._end("interrupted")

    def _end(self, status: str, result: TrainingResult | None = None, **values: object) -> RunRecord:
        cost = asdict(self._cost(result))
        self._write(status, {"ended": provenance.now(), "bill": cost, **values})
        self.lock.close()
        return read(self.paths.folder)

    def write_running(self) -> None:
        """Record that the run is running."""
        self._write("running", {"bill": {"wall_s": self.earlier_s}})

    def _write(self, status: str, values: Mapping[str, object]) -> None:
        config, run = self.config, self.identified
        common = {
            "started": self.started,
            "config": config.plain(),
            "cell": config.cell,
            "preset": config.preset,
            "seed": config.train.seed,
            "synthetic": run.synthetic,
            "fingerprints": run.fingerprints,
            "status": status,
        }
        folder = self.paths.folder
        disk.patiently(folder, lambda: ledger.write_result(folder, {**common, **values}))

    def _cost(self, result: TrainingResult | None) -> RunCost:
        train = self.config.train
        lines = [line for line in journal.read(self.paths.journal) if line["kind"] == "train"]
        rate = statistics.median(line["images_per_s"] for line in lines) if lines else None
        steps = lines[-1]["epoch"] * lines[-1]["steps"] + lines[-1]["step"] if lines else 0
        device = (result and result.device) or self.device or ("cuda" if train.accelerator == "cuda" else "cpu")
        per_worker = 1 if device == "cuda" else (result and result.threads) or cores(self.config)
        return RunCost(
            wall_s=round(self.earlier_s + time.monotonic() - self.start_s, 2),
            workers=train.workers,
            device=device,
            accelerators=train.workers * per_worker,
            step_s=train.batch_size / rate if rate else None,
            images_per_s=rate,
            images=steps * train.batch_size,
        )


def _protocol(measured: Mapping[str, object]) -> str:
    """How the figures of a set were measured, as text."""
    protocol = measured["protocol"]
    assert isinstance(protocol, Mapping)
    return str(protocol["text"])


def cores(config: Config) -> int:
    """The CPU cores that a worker takes on a machine like this one: as configured, else its share of all cores."""
    return config.train.threads or max(1, len(os.sched_getaffinity(0)) // config.train.workers)


def begin(identified: Identified, repository: Path, device: str | None = None) -> ActiveRun:
    """Make or reopen the run's folder, hold it, and record that the run is running.

    device: "cpu" or "cuda", where the run will be trained, if that is known.
    Raises UserError when the run's record cannot be read, and Busy when another process trains the run or has just
    finished it.
    """
    paths = identified.paths
    lock = disk.patiently(paths.folder, lambda: hold(paths.driver_lock, "another process trains this run"))
    try:
        before = recorded(paths.folder)
        if before and before.status == "done":
            raise Busy("another process has just finished this run", where=paths.folder)
        origin = provenance.collect(repository, _PACKAGES)
        disk.patiently(paths.folder, lambda: _create(identified, origin))
    except BaseException:
        lock.close()
        raise
    run = ActiveRun(identified, provenance.now(), _seconds_before(paths, before), lock, time.monotonic(), device)
    disk.patiently(paths.folder, lambda: control.clear(paths.folder))
    run.write_running()
    return run


def _seconds_before(paths: RunPaths, before: RunRecord | None) -> float:
    """Wall seconds of the earlier starts. A killed start counts up to its last line in the journal."""
    if before is None:
        return 0.0
    seconds = facts.bill(before).wall_s or 0.0
    if before.status == "running" and before.started and paths.journal.exists():
        started = datetime.datetime.fromisoformat(before.started).timestamp()
        seconds += max(0.0, paths.journal.stat().st_mtime - started)
    return round(seconds, 2)


def _create(identified: Identified, origin: Mapping[str, object]) -> None:
    try:
        ledger.create(identified.paths.folder.parent, identified.id, identified.config.plain(), origin)
    except BrokenRecord as error:
        raise UserError(f"the run's record cannot be read: {error.reason}", where=error.path) from error
