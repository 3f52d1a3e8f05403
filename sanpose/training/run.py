"""One run, from its configuration to its record: Ray Train trains, the driver alone writes the record."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster import phases
from cluster.raycluster.connect import ray_cluster
from sanpose.config.compose import REPOSITORY, from_plain, located, with_overrides
from sanpose.config.schema import NUISANCE, SOURCES, Config, identity_of
from sanpose.data import sources
from sanpose.errors import StoppedError, UserError
from sanpose.metrics.headline import headline
from sanpose.runs import active, control, identity, ledger, lookup


def resume_config(root: Path, prefix: str, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a recorded run, by a prefix of its id; overrides may change only what does not define it."""
    folder = lookup.find(root, prefix)
    record = lookup.read(folder)
    recorded = from_plain(record.config)
    changed = with_overrides(recorded, overrides)
    before, after = (identity_of(c, {}) for c in (recorded, changed))
    if before != after:
        raise UserError(
            f"run {folder.name} cannot be resumed with these overrides: they define another run",
            where=" ".join(overrides),
            expected=f"overrides of {', '.join(NUISANCE)}",
            hint="leave out resume= to start the other run",
        )
    located = replace(changed, runs=str(root))
    if identity.run_id(located) != folder.name:
        raise UserError(
            f"run {folder.name} cannot be resumed: its data files are not those it was started with",
            where=", ".join(getattr(changed.data.sources, n).file for n in SOURCES),
            expected="the same packed files",
            hint="data.sources.h36m.file=FILE.h5 if they have moved; else leave out resume= to start another run",
        )
    return located


def train(config: Config, console: Console, signal: control.Signal | None = None) -> ledger.RunRecord:
    """Train one configuration, unless its run is done already; its record.

    A run that was interrupted or has failed continues from its newest checkpoint. What goes wrong is recorded as the
    run's status, then raised again. Raises StoppedError, with a checkpoint kept, after the signal.
    """
    folder = Path(located(config).runs) / identity.run_id(config)
    before = lookup.recorded(folder)
    if before and before.status == "done":
        console.print(f"run [bold]{folder.name}[/] is done already: {folder}")
        return before
    sources.check(config)
    run = active.begin(config, REPOSITORY, folder.name)
    console.print(f"run [bold]{folder.name}[/] in {folder}")
    try:
        outcome = _fit(run, console, signal)
        if "stopped" in outcome:
            raise StoppedError(f"run {folder.name} has stopped, its checkpoint {outcome['stopped']} is kept")
        record = run.done(outcome)
    except (KeyboardInterrupt, StoppedError):
        run.interrupted()
        raise
    except Exception as error:
        run.failed(str(error))
        raise
    line = ", ".join(f"{k} {v:.4g}" for k, v in headline(record.metrics).items() if v is not None)
    console.print(f"run [bold]{folder.name}[/] is done: {line}")
    return record


@contextmanager
def connected(workers: int, environment: Mapping[str, str] | None = None) -> Iterator[str | None]:
    """As `ray_cluster`, with room for so many workers. Raises UserError when the one of RAY_ADDRESS does not answer."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(ray_cluster(workers, environment or {}))
        except ConnectionError as error:
            raise UserError(
                "no Ray cluster answers",
                where=os.environ.get("RAY_ADDRESS"),
                hint="unset RAY_ADDRESS for a private one",
            ) from error
        yield address


def _fit(run: active.ActiveRun, console: Console, signal: control.Signal | None) -> dict[str, Any]:
    from sanpose.runs import progress
    from sanpose.training import ray_train
    from sanpose.training.resources import device_type

    config, folder = run.config, run.folder
    with (
        connected(config.train.workers),
        progress.shown(folder, console, config.train.epochs, lambda: phases.mark("first step")),
        signal.passed_on(lambda: control.ask(folder)) if signal else nullcontext(),
    ):
        run.device = device_type(config)
        return ray_train.fit(config, folder)
