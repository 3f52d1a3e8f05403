"""Run a sweep, from its definition to the records of its runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from cluster.raycluster import placements
from sanpose import disk
from sanpose.errors import StoppedError, UserError
from sanpose.runs import checkpoints, control, lookup
from sanpose.tuning import elasticity, ownership
from sanpose.tuning.driver import Driver
from sanpose.tuning.sweep import Sweep
from sweeps import record, storage
from sweeps.definition import BadSweep
from sweeps.study import Study


def tune(
    sweep: Sweep,
    console: Console,
    *,
    retry_failed: bool = False,
    kept: tuple[str, ...] = checkpoints.KINDS,
    signal: control.Signal | None = None,
) -> dict[str, int]:
    """Run a sweep, or go on with it; how many runs were done, taken from the ledger, pruned, and failed, and how many
    trials had failed before and were left so.

    kept: the checkpoints that stay of a finished run (`keep.KINDS`); of a pruned one none do.
    Raises UserError when a sweep of this name was something else, or is being run by another process, and StoppedError
    after the signal, when the open runs have kept their checkpoints.
    """
    from sanpose.training import ray_train
    from sanpose.training.resources import device_type, trial_environment, trial_resources
    from sanpose.training.run import connected
    from sanpose.tuning.trial import trial

    root = sweep.runs.absolute()
    folder = record.folder_of(root, sweep.name)
    folder.mkdir(parents=True, exist_ok=True)
    with ownership.held(folder):
        try:
            storage.require(sweep.definition.search.storage)
            disk.patiently(folder, lambda: ownership.claim(sweep, root))
            study = Study(folder, sweep.name, sweep.definition, sweep.seeds, patiently=disk.patiently)
        except BadSweep as error:
            raise UserError(f"this sweep cannot be used: {error}") from error
        if sweep.warning:
            console.print(f"[yellow]{escape(sweep.warning)}[/]")
        gone = study.repeat_missing(lambda run: not run or lookup.is_recorded(root / run))
        if gone:
            console.print(f"{gone} trials are run again: their runs are no longer in {root}")
        if retry_failed:
            console.print(f"{study.retry_failed()} failed trials are tried again")
        before = study.failed()
        first = sweep.checked.configs[0]
        with connected(first.train.workers, trial_environment(first)) as dashboard:
            from sweeps import runner

            cuda = device_type(first) == "cuda"
            driver = Driver(sweep, folder, console, cuda, retry_failed, kept)
            resources, places = trial_resources(first, cuda)
            disk.patiently(folder, lambda: ownership.begun(sweep, root, dashboard))
            driver.trim_pruned()
            try:
                with (
                    _shown(root, sweep.name, console),
                    elasticity.told(study.left, resources),
                    placements.orphans_removed() if first.train.workers > 1 else nullcontext(),
                    signal.passed_on(driver.stop) if signal else nullcontext(),
                ):
                    ray_train.interruptible(
                        lambda: runner.run(
                            study,
                            driver,
                            trial,
                            resources,
                            concurrent=elasticity.concurrent(places, resources),
                            reuse=first.train.workers == 1,
                            max_failures=elasticity.failures(first.train.max_failures),
                        )
                    )
                driver.trim_pruned()
                if driver.stopping:
                    raise StoppedError(f"sweep {sweep.name} has stopped")
            except BaseException:
                driver.interrupted()
                raise
            disk.patiently(folder, lambda: ownership.ended(sweep, root))
            left = len(before & study.failed())
    return driver.counts | ({"failed before": left} if left else {})


@contextmanager
def _shown(root: Path, name: str, console: Console) -> Iterator[None]:
    """In a terminal, what `sanpose status` says of the sweep, below the lines of what has ended."""
    if not console.is_terminal:
        yield
        return
    from rich.live import Live

    from sanpose.status.terminal import to_terminal
    from sanpose.status.watch import Watcher

    watcher = Watcher(root, name)
    with Live(
        get_renderable=lambda: to_terminal(watcher.refresh()), console=console, refresh_per_second=1, transient=True
    ):
        yield
