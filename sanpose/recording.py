"""A run from its name to its record. The driver that begins a run holds its folder, and alone writes its record."""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sanpose import config as configuration
from sanpose import disk, journal, stopping
from sanpose.config import Config
from sanpose.errors import UserError, nearest
from sweeps import identity, ledger, provenance, record
from sweeps.files import BrokenRecord

_PACKAGES = ("sanpose", "torch", "torchvision", "ray", "deepspeed", "numpy", "opencv-python-headless", "pycocotools")


def run_id(config: Config) -> str:
    """The identity of a run: the hash of what defines it, the data's fingerprints included.

    Raises UserError when a data file cannot be read.
    """
    return identity.run_id(configuration.identity_of(config, fingerprints(config)), schema=configuration.SCHEMA)


def fingerprints(config: Config) -> dict[str, str]:
    """What the files that a run uses hold, by source and for a file of weights. Raises UserError as `run_id` does."""
    return {name: fingerprint(name, file) for name, file in files(config).items()}


def files(config: Config) -> dict[str, str]:
    """The files that a run uses, by source; one of weights as "weights"."""
    sources = {name: getattr(config.data.sources, name) for name in configuration.SOURCES}
    used = {n: s.file for n, s in sources.items() if s.share > 0 or n in config.eval.sets}
    weights = config.model.weights
    return used | ({} if weights in ("none", "imagenet") else {"weights": weights})


def fingerprint(name: str, file: str) -> str:
    """What one of `files` holds. Raises UserError as `run_id` does."""
    from sanpose.data import packed

    return _digest(Path(file)) if name == "weights" else packed.fingerprint(file)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UserError(
            "the file of weights cannot be read",
            where=path,
            expected="none, imagenet or a file",
            hint="model.weights=none",
        ) from error


def find(runs: Path, prefix: str) -> Path:
    """A run's folder by a prefix of its id. Raises UserError when none or several begin with it."""
    try:
        return ledger.find(runs, prefix)
    except ledger.NoSuchRun as error:
        raise UserError(str(error), hint="`sanpose report` lists the runs") from error


def read(folder: Path) -> ledger.Record:
    """A run's record. Raises UserError when it cannot be read."""
    try:
        return ledger.read(folder)
    except ledger.BrokenRecord as error:
        raise UserError(f"the run's record cannot be read: {error.reason}", where=error.path) from error


def record_of(runs: Path, prefix: str) -> ledger.Record:
    """A run's record by a prefix of its id. Raises UserError when there is no readable one."""
    return read(find(runs, prefix))


def sweep(runs: Path, name: str) -> record.Sweep:
    """A sweep's record. Raises UserError when there is none of that name, or when it cannot be read."""
    names = record.names(runs)
    if name not in names:
        raise UserError(
            f"there is no sweep '{name}'",
            where=runs,
            expected=f"one of: {', '.join(names) or 'none is recorded here'}",
            hint=nearest(name, names),
        )
    try:
        return record.read(runs, name)
    except BrokenRecord as error:
        raise UserError(f"the sweep's record cannot be read: {error.reason}", where=error.path) from error


def recorded(folder: Path) -> ledger.Record | None:
    """The record that a driver has left in a run's folder, or None. Raises UserError when it cannot be read."""
    return read(folder) if is_recorded(folder) else None


def is_recorded(folder: Path) -> bool:
    """Whether a run's folder holds a record, also one that cannot be read."""
    try:
        (folder / "result.json").stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # another user's folder, a link in a circle
        return True
    return True


@dataclass
class Open:
    """A run that this process has begun and holds; it ends with exactly one of done, failed, pruned, interrupted.

    `device`: "cpu" or "cuda", where it is trained; None until that is known."""

    config: Config
    folder: Path
    common: dict[str, Any]
    earlier: float  # wall seconds of the starts before this one
    lock: IO[str]
    begun: float
    device: str | None = None

    def done(self, trained: Mapping[str, Any]) -> ledger.Record:
        """Record what the loop has returned."""
        figures = trained["figures"]
        protocol = {name: values["protocol"]["text"] for name, values in figures.items()}
        more = {name: trained.get(name) for name in ("macs", "parameters", "device", "threads")}
        return self._end("done", metrics=figures, protocol=protocol, **more)

    def failed(self, reason: str) -> ledger.Record:
        return self._end("failed", reason=reason or "unknown")

    def pruned(self) -> ledger.Record:
        return self._end("pruned")

    def interrupted(self) -> ledger.Record:
        return self._end("interrupted")

    def _end(self, status: str, **values: Any) -> ledger.Record:
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


def begin(config: Config, repository: Path, name: str | None = None, device: str | None = None) -> Open:
    """Make or reopen the run's folder, hold it, and record that the run is running.

    device: "cpu" or "cuda", where it will be trained, if that is known.
    Raises UserError when its record cannot be read, and Busy when another process is training it or has just done so.
    """
    config = configuration.located(config)
    folder = Path(config.runs) / (name or run_id(config))
    lock = disk.patiently(folder, lambda: _hold(folder))
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
    common |= {"preset": config.preset, "seed": config.train.seed, "synthetic": _synthetic(config)}
    common["fingerprints"] = fingerprints(config)
    disk.patiently(folder, lambda: stopping.clear(folder))
    running = {**common, "status": "running", "bill": {"wall_s": earlier}}
    disk.patiently(folder, lambda: ledger.write_result(folder, running))
    return Open(config, folder, common, earlier, lock, time.monotonic(), device)


def _seconds_before(folder: Path, before: ledger.Record | None) -> float:
    """Wall seconds of the earlier starts; of one that was killed, up to its last line in the journal."""
    if before is None:
        return 0.0
    seconds = float((before.extra.get("bill") or {}).get("wall_s") or 0.0)
    lines = folder / journal.NAME
    if before.status == "running" and before.started and lines.exists():
        started = datetime.datetime.fromisoformat(before.started).timestamp()
        seconds += max(0.0, lines.stat().st_mtime - started)
    return round(seconds, 2)


class Busy(UserError):  # noqa: N818 - it says what is, and is not always an error
    """Another process is training this run."""


def _hold(folder: Path) -> IO[str]:
    """Hold the run's folder, so that no second process trains into it, until the file is closed."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Busy("this run is being trained by another process", where=folder) from error
    return lock


def _create(folder: Path, config: Config, told: dict[str, Any]) -> None:
    try:
        ledger.create(folder.parent, folder.name, config.plain(), told)
    except ledger.BrokenRecord as error:
        raise UserError(f"the run's record cannot be read: {error.reason}", where=error.path) from error


def _synthetic(config: Config) -> bool:
    from sanpose.data import packed

    files = (getattr(config.data.sources, n) for n in configuration.SOURCES)
    return any(packed.is_synthetic(s.file) for s in files if s.share > 0)
