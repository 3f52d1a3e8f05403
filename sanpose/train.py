"""`python -m sanpose.train`: one run, from its configuration to its record.

The driver composes the configuration, names the run, trains it through Ray Train, and alone writes the record.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster.ray_cluster import ray_cluster
from sanpose import config as configuration
from sanpose.config import Config
from sanpose.errors import UserError
from sanpose.headline import headline
from sweeps import identity, ledger, provenance

_PACKAGES = ("sanpose", "torch", "torchvision", "ray", "deepspeed", "numpy", "opencv-python-headless", "pycocotools")


def run_id(config: Config) -> str:
    """The identity of a run: the hash of what defines it, the data's fingerprints included.

    Raises UserError when a data file cannot be read.
    """
    from sanpose.data import packed

    files = {name: getattr(config.data.sources, name) for name in configuration.SOURCES}
    used = {n: s for n, s in files.items() if s.share > 0 or n in config.eval.sets}
    fingerprints = {name: packed.fingerprint(source.file) for name, source in used.items()}
    if config.model.weights not in ("none", "imagenet"):
        fingerprints["weights"] = _digest(Path(config.model.weights))
    return identity.run_id(configuration.identity_of(config, fingerprints), schema=configuration.SCHEMA)


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


def resume_config(runs: Path, prefix: str, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a recorded run, by a prefix of its id; overrides may change only what does not define it."""
    folder = find(runs, prefix)
    record = _read(folder)
    recorded = configuration.from_plain(record.config)
    changed = configuration.with_overrides(recorded, overrides)
    before, after = (configuration.identity_of(c, {}) for c in (recorded, changed))
    if before != after:
        raise UserError(
            f"run {folder.name} cannot be resumed with these overrides: they define another run",
            where=" ".join(overrides),
            expected=f"overrides of {', '.join(configuration.NUISANCE)}",
            hint="leave out resume= to start the other run",
        )
    located = replace(changed, runs=str(runs))
    if run_id(located) != folder.name:
        raise UserError(
            f"run {folder.name} cannot be resumed: its data files are not those it was started with",
            where=", ".join(getattr(changed.data.sources, n).file for n in configuration.SOURCES),
            expected="the same packed files",
            hint="data.sources.h36m.file=FILE.h5 if they have moved; else leave out resume= to start another run",
        )
    return located


def find(runs: Path, prefix: str) -> Path:
    """A run's folder by a prefix of its id. Raises UserError when none or several begin with it."""
    try:
        return ledger.find(runs, prefix)
    except ledger.NoSuchRun as error:
        raise UserError(str(error), hint="`sanpose report` lists the runs") from error


def _read(folder: Path) -> ledger.Record:
    try:
        return ledger.read(folder)
    except ledger.BrokenRecord as error:
        raise UserError(f"the run's record cannot be read: {error.reason}", where=error.path) from error


def record_of(runs: Path, prefix: str) -> ledger.Record:
    """A run's record by a prefix of its id. Raises UserError when there is no readable one."""
    return _read(find(runs, prefix))


def train_all(configs: Sequence[Config], console: Console) -> None:
    """Train several configurations in one Ray cluster, one after the other. One that fails is recorded, and the next
    one follows; at the end a UserError names those that failed.
    """
    failed = []
    with _ray(max(c.train.workers for c in configs)):
        for config in configs:
            console.rule(f"cell {config.cell}, seed {config.train.seed}" if config.cell else "run")
            try:
                train(config, console)
            except Exception as error:
                failed.append(f"{config.cell} (seed {config.train.seed}): {error}")
                console.print(f"[red]failed:[/] {error}")
    if failed:
        raise UserError(f"{len(failed)} of {len(configs)} runs failed", where="; ".join(failed))


def train(config: Config, console: Console) -> ledger.Record:
    """Train one configuration, unless its run is done already; its record.

    A run that was interrupted or has failed continues from its newest checkpoint. What goes wrong is recorded as the
    run's status, then raised again.
    """
    name = run_id(config)
    config = configuration.located(config)
    folder = Path(config.runs) / name
    if (folder / "result.json").exists() and _read(folder).status == "done":
        console.print(f"run [bold]{name}[/] is done already: {folder}")
        return _read(folder)
    told = provenance.collect(Path(__file__).parents[1], _PACKAGES)
    _create(folder, config, told)
    with _alone(folder):
        return _recorded(config, folder, console)


def _recorded(config: Config, folder: Path, console: Console) -> ledger.Record:
    """Train, and write into the record what comes of it."""
    common: dict[str, Any] = {"started": provenance.now(), "config": config.plain(), "cell": config.cell}
    common |= {"preset": config.preset, "seed": config.train.seed, "synthetic": _synthetic(config)}
    ledger.write_result(folder, {**common, "status": "running"})
    console.print(f"run [bold]{folder.name}[/] in {folder}")
    try:
        figures = _fit(config, folder, console)
    except KeyboardInterrupt:
        ledger.write_result(folder, {**common, "status": "interrupted", "ended": provenance.now()})
        raise
    except Exception as error:
        ledger.write_result(folder, {**common, "status": "failed", "reason": str(error), "ended": provenance.now()})
        raise
    protocol = {name: values["protocol"]["text"] for name, values in figures.items()}
    done = {"status": "done", "ended": provenance.now(), "metrics": figures, "protocol": protocol}
    ledger.write_result(folder, {**common, **done})
    line = ", ".join(f"{k} {v:.4g}" for k, v in headline(figures).items() if v is not None)
    console.print(f"run [bold]{folder.name}[/] is done: {line}")
    return _read(folder)


def _create(folder: Path, config: Config, told: dict[str, Any]) -> None:
    try:
        ledger.create(folder.parent, folder.name, config.plain(), told)
    except ledger.BrokenRecord as error:
        raise UserError(f"the run's record cannot be read: {error.reason}", where=error.path) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the run's folder, so that no second process trains into it. Raises UserError when one does already."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("this run is being trained by another process", where=folder) from error
        yield


@contextmanager
def _ray(workers: int) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(ray_cluster(workers))
        except ConnectionError as error:
            raise UserError(
                "no Ray cluster answers",
                where=os.environ.get("RAY_ADDRESS"),
                hint="unset RAY_ADDRESS for a private one",
            ) from error
        yield


def _fit(config: Config, folder: Path, console: Console) -> dict[str, Any]:
    from sanpose import progress, worker

    with (
        _ray(config.train.workers),
        progress.shown(folder, console, config.train.epochs),
    ):
        return worker.fit(config, folder)


def _synthetic(config: Config) -> bool:
    from sanpose.data import packed

    files = (getattr(config.data.sources, n) for n in configuration.SOURCES)
    return any(packed.is_synthetic(s.file) for s in files if s.share > 0)


if __name__ == "__main__":
    import sys

    from sanpose.cli import main

    sys.argv.insert(1, "train")
    main()
