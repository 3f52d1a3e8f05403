"""`python -m sanpose.train`: one run, from its configuration to its record.

The driver composes the configuration, names the run, trains it through Ray Train, and alone writes the record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster import phases
from cluster.ray_cluster import ray_cluster
from sanpose import config as configuration
from sanpose import recording, stopping
from sanpose.config import Config
from sanpose.data import sources
from sanpose.errors import StoppedError, UserError
from sanpose.headline import headline
from sweeps import ledger

REPOSITORY = Path(__file__).parents[1]


def resume_config(root: Path, prefix: str, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a recorded run, by a prefix of its id; overrides may change only what does not define it."""
    folder = recording.find(root, prefix)
    record = recording.read(folder)
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
    located = replace(changed, runs=str(root))
    if recording.run_id(located) != folder.name:
        raise UserError(
            f"run {folder.name} cannot be resumed: its data files are not those it was started with",
            where=", ".join(getattr(changed.data.sources, n).file for n in configuration.SOURCES),
            expected="the same packed files",
            hint="data.sources.h36m.file=FILE.h5 if they have moved; else leave out resume= to start another run",
        )
    return located


def train(config: Config, console: Console, signal: stopping.Signal | None = None) -> ledger.Record:
    """Train one configuration, unless its run is done already; its record.

    A run that was interrupted or has failed continues from its newest checkpoint. What goes wrong is recorded as the
    run's status, then raised again. Raises StoppedError, with a checkpoint kept, after the signal.
    """
    folder = Path(configuration.located(config).runs) / recording.run_id(config)
    before = recording.recorded(folder)
    if before and before.status == "done":
        console.print(f"run [bold]{folder.name}[/] is done already: {folder}")
        return before
    sources.check(config)
    run = recording.begin(config, REPOSITORY, folder.name)
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


def _fit(run: recording.Open, console: Console, signal: stopping.Signal | None) -> dict[str, Any]:
    from sanpose import progress, worker

    config, folder = run.config, run.folder
    with (
        connected(config.train.workers),
        progress.shown(folder, console, config.train.epochs, lambda: phases.mark("first step")),
        signal.passed_on(lambda: stopping.ask(folder)) if signal else nullcontext(),
    ):
        run.device = worker.device_type(config)
        return worker.fit(config, folder)


if __name__ == "__main__":
    import sys

    from sanpose.cli import main

    sys.argv.insert(1, "train")
    main()
