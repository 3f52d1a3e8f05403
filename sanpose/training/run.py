"""One run, from its configuration to its record: Ray Train trains, and the driver alone writes the record."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from cluster import phases
from cluster.raycluster.connect import ray_cluster
from sanpose.config.compose import REPOSITORY, from_plain, with_overrides
from sanpose.config.schema import NUISANCE, Config
from sanpose.data import sources
from sanpose.errors import StoppedError, UserError
from sanpose.metrics.headline import headline
from sanpose.runs import active, control, lookup
from sanpose.runs.identity import Identified, identify, identity_of
from sanpose.runs.ledger import RunRecord
from sanpose.runs.result import TrainingResult
from sanpose.training import own_packages
from sweeps.outcomes import Done, Stopped


def resume_config(root: Path, prefix: str, overrides: Sequence[str] = ()) -> tuple[str, Config]:
    """The id of a recorded run, by a prefix, and its configuration. Overrides may change only keys that do not define
    the run. `require_resumable` checks the data files."""
    folder = lookup.find(root, prefix)
    recorded = from_plain(lookup.read(folder).config)
    changed = with_overrides(recorded, overrides)
    if identity_of(recorded, {}) != identity_of(changed, {}):
        raise UserError(
            f"run {folder.name} cannot be resumed with these overrides: they define another run",
            where=" ".join(overrides),
            expected=f"overrides of {', '.join(NUISANCE)}",
            hint="leave out resume= to start the other run",
        )
    return folder.name, replace(changed, runs=str(root))


def require_resumable(run: str, identified: Identified) -> None:
    """Raise UserError when a configuration to resume a run with identifies another run: its data files differ."""
    if identified.id != run:
        raise UserError(
            f"run {run} cannot be resumed: its data files have changed since it was started",
            where=", ".join(source.file for _, source in identified.config.data.sources.items()),
            expected="the same packed files",
            hint="data.sources.h36m.file=FILE.h5 if they have moved; else leave out resume= to start another run",
        )


def train(config: Config, console: Console, signal: control.Signal | None = None, resume: str = "") -> RunRecord:
    """Train one configuration, unless its run is done already; returns the record.

    An interrupted or failed run resumes from its newest checkpoint. Every error is recorded as the run's status, then
    raised again. resume: the id of the run that the configuration must identify. Raises StoppedError, with a checkpoint
    kept, after the signal.
    """
    files = sources.opened(config)
    identified = identify(config, files)
    paths = identified.paths
    if resume:
        require_resumable(resume, identified)
    before = lookup.recorded(paths.folder)
    if before and before.status == "done":
        console.print(f"run [bold]{paths.run}[/] is already done: {paths.folder}")
        return before
    sources.check(config, files)
    del files  # their labels would take memory for the whole training
    run = active.begin(identified, REPOSITORY)
    console.print(f"run [bold]{paths.run}[/] in {paths.folder}")
    try:
        match _fit(run, console, signal):
            case Stopped(checkpoint):
                raise StoppedError(f"run {paths.run} has stopped; checkpoint {checkpoint} is kept")
            case Done(result):
                record = run.done(result)
    except (KeyboardInterrupt, StoppedError):
        run.interrupted()
        raise
    except Exception as error:
        run.failed(str(error))
        raise
    line = ", ".join(f"{k} {v:.4g}" for k, v in headline(record.metrics).items() if v is not None)
    console.print(f"run [bold]{paths.run}[/] is done: {line}")
    return record


@contextmanager
def connected(workers: int, environment: Mapping[str, str] | None = None) -> Iterator[str | None]:
    """As `ray_cluster`, with room for so many workers. Raises UserError when the Ray of RAY_ADDRESS does not answer."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(ray_cluster(workers, environment or {}, own_packages.begin_worker))
        except ConnectionError as error:
            raise UserError(
                f"no Ray cluster answers: {error}".splitlines()[0],
                where=f"RAY_ADDRESS={os.environ.get('RAY_ADDRESS')}",
                expected="the address of a running Ray cluster, HOST:PORT",
                hint="unset RAY_ADDRESS for a private Ray",
            ) from error
        yield address


def _fit(run: active.ActiveRun, console: Console, signal: control.Signal | None) -> Done[TrainingResult] | Stopped:
    from sanpose.runs import progress
    from sanpose.training import ray_train
    from sanpose.training.resources import device_type

    config, paths = run.config, run.paths
    with (
        connected(config.train.workers),
        progress.shown(paths.folder, console, config.train.epochs, lambda: phases.mark("first step")),
        signal.passed_on(lambda: control.request_stop(paths.folder)) if signal else nullcontext(),
    ):
        run.device = device_type(config)
        return ray_train.fit(config, paths)
