"""A run in progress: the driver begins it, holds its folder, and alone writes its record."""

from __future__ import annotations

import datetime
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sanpose import disk
from sanpose.config.compose import located
from sanpose.config.schema import Config
from sanpose.errors import UserError
from sanpose.runs import control, journal, ledger, provenance
from sanpose.runs.identity import fingerprints, is_synthetic, run_id
from sanpose.runs.locks import Busy, hold
from sanpose.runs.lookup import read, recorded
from sweeps.files import BrokenRecord

_PACKAGES = ("sanpose", "torch", "torchvision", "ray", "deepspeed", "numpy", "opencv-python-headless", "pycocotools")


@dataclass
class ActiveRun:
    """A run that this process has begun and holds; it ends with exactly one of done, failed, pruned, interrupted.

    `device`: "cpu" or "cuda", where it is trained; None until that is known."""

    config: Config
    folder: Path
    common: dict[str, Any]
    earlier: float  # wall seconds of the starts before this one
    lock: IO[str]
    begun: float
    device: str | None = None

    def done(self, trained: Mapping[str, Any]) -> ledger.RunRecord:
        """Record what the loop has returned."""
        figures = trained["figures"]
        protocol = {name: values["protocol"]["text"] for name, values in figures.items()}
        more = {name: trained.get(name) for name in ("macs", "parameters", "device", "threads")}
        return self._end("done", metrics=figures, protocol=protocol, **more)

    def failed(self, reason: str) -> ledger.RunRecord:
        return self._end("failed", reason=reason or "unknown")

    def pruned(self) -> ledger.RunRecord:
        return self._end("pruned")

    def interrupted(self) -> ledger.RunRecord:
        return self._end("interrupted")

    def _end(self, status: str, **values: Any) -> ledger.RunRecord:
        told = {**self.common, "status": status, "ended": provenance.now(), "bill": self._bill(values), **values}
        disk.patiently(self.folder, lambda: ledger.write_result(self.folder, told))
        self.lock.close()
        return read(self.folder)

    def _bill(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the run has cost, over all its starts. `images`: those that the network was trained on, up to the
        journal's last line."""
        train = self.config.train
        lines = [line for line in journal.read(self.folder / journal.NAME) if line["kind"] == "train"]
        rate = statistics.median(line["images_per_s"] for line in lines) if lines else None
        steps = lines[-1]["epoch"] * lines[-1]["steps"] + lines[-1]["step"] if lines else 0
        device = values.get("device") or self.device or ("cuda" if train.accelerator == "cuda" else "cpu")
        return {
            "wall_s": round(self.earlier + time.monotonic() - self.begun, 2),
            "workers": train.workers,
            "device": device,
            "accelerators": train.workers * (1 if device == "cuda" else values.get("threads") or cores(self.config)),
            "step_s": train.batch_size / rate if rate else None,
            "images_per_s": rate,
            "images": steps * train.batch_size,
        }


def cores(config: Config) -> int:
    """The CPU cores that a worker takes on a machine like this one: as configured, else its share of all."""
    return config.train.threads or max(1, len(os.sched_getaffinity(0)) // config.train.workers)


def begin(config: Config, repository: Path, name: str | None = None, device: str | None = None) -> ActiveRun:
    """Make or reopen the run's folder, hold it, and record that the run is running.

    device: "cpu" or "cuda", where it will be trained, if that is known.
    Raises UserError when its record cannot be read, and Busy when another process is training it or has just done so.
    """
    config = located(config)
    folder = Path(config.runs) / (name or run_id(config))
    lock = disk.patiently(folder, lambda: hold(folder))
    try:
        before = recorded(folder)
        if before and before.status == "done":
            raise Busy("this run has just been finished by another process", where=folder)
        told = provenance.collect(repository, _PACKAGES)
        disk.patiently(folder, lambda: _create(folder, config, told))
    except BaseException:
        lock.close()
        raise
    earlier = _seconds_before(folder, before)
    common: dict[str, Any] = {"started": provenance.now(), "config": config.plain(), "cell": config.cell}
    common |= {"preset": config.preset, "seed": config.train.seed, "synthetic": is_synthetic(config)}
    common["fingerprints"] = fingerprints(config)
    disk.patiently(folder, lambda: control.clear(folder))
    running = {**common, "status": "running", "bill": {"wall_s": earlier}}
    disk.patiently(folder, lambda: ledger.write_result(folder, running))
    return ActiveRun(config, folder, common, earlier, lock, time.monotonic(), device)


def _seconds_before(folder: Path, before: ledger.RunRecord | None) -> float:
    """Wall seconds of the earlier starts; of one that was killed, up to its last line in the journal."""
    if before is None:
        return 0.0
    seconds = float((before.extra.get("bill") or {}).get("wall_s") or 0.0)
    lines = folder / journal.NAME
    if before.status == "running" and before.started and lines.exists():
        started = datetime.datetime.fromisoformat(before.started).timestamp()
        seconds += max(0.0, lines.stat().st_mtime - started)
    return round(seconds, 2)


def _create(folder: Path, config: Config, told: dict[str, Any]) -> None:
    try:
        ledger.create(folder.parent, folder.name, config.plain(), told)
    except BrokenRecord as error:
        raise UserError(f"the run's record cannot be read: {error.reason}", where=error.path) from error
