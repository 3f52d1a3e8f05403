"""Run a sweep, from its definition to the records of its runs.

Ray Tune places the trials that the `driver` starts and records. A sweep that is started again resumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from cluster.raycluster import placements
from sanpose import disk
from sanpose.claims import record as claims_record
from sanpose.claims.record import ClaimsRecord
from sanpose.errors import StoppedError, UserError
from sanpose.runs import checkpoints, control, locks, lookup
from sanpose.tuning import elasticity, ownership
from sanpose.tuning.decisions import Decisions
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
    keep: tuple[str, ...] = checkpoints.KINDS,
    signal: control.Signal | None = None,
) -> dict[str, int]:
    """Run or resume a sweep. Returns the numbers of runs that were done, taken from the ledger, pruned, and failed, and
    of trials that failed at earlier starts and were not retried.

    keep: the kinds of checkpoints of a finished run to keep (`checkpoints.KINDS`); a pruned run keeps none.
    Raises UserError when a sweep of this name has another definition, or when another process runs it. Raises
    StoppedError after the signal, when the open runs have saved their checkpoints.
    """
    root = sweep.runs.absolute()
    folder = record.folder_of(root, sweep.name)
    with locks.hold(folder / ".lock", "another process runs this sweep"):
        decisions = _decisions(sweep, folder, console)
        study = _open_study(sweep, root, folder, decisions)
        _prepare(sweep, study, console, retry_failed, root)
        failed_before = study.failed()
        counts = _run(sweep, study, folder, console, retry_failed, keep, signal, decisions)
        still_failed = len(failed_before & study.failed())
    return counts | ({"failed before": still_failed} if still_failed else {})


def _decisions(sweep: Sweep, folder: Path, console: Console) -> Decisions | None:
    """What decides the seeds of seeds=auto; None for a fixed number of seeds."""
    if sweep.auto is None:
        return None

    def save(content: ClaimsRecord) -> None:
        disk.patiently(folder, lambda: claims_record.write(folder, content))

    return Decisions(sweep, sweep.auto, say=lambda text: console.print(escape(text)), save=save)


def _open_study(sweep: Sweep, root: Path, folder: Path, decisions: Decisions | None) -> Study:
    try:
        storage.require(sweep.definition.search.storage)
        disk.patiently(folder, lambda: ownership.claim(sweep, root))
        return Study(
            folder,
            sweep.name,
            sweep.definition,
            sweep.seeds,
            first_seed=sweep.first_seed,
            patiently=disk.patiently,
            more=decisions.more if decisions else None,
        )
    except BadSweep as error:
        raise UserError(f"this sweep cannot be used: {error}") from error


def _prepare(sweep: Sweep, study: Study, console: Console, retry_failed: bool, root: Path) -> None:
    """Enqueue again the trials that must be repeated, and print their number."""
    if sweep.warning:
        console.print(f"[yellow]{escape(sweep.warning)}[/]")
    missing = study.repeat_missing(lambda run: not run or lookup.is_recorded(root / run))
    if missing:
        console.print(f"{missing} trials are repeated: their runs are no longer in {root}")
    if retry_failed:
        console.print(f"{study.retry_failed()} failed trials are retried")


def _run(
    sweep: Sweep,
    study: Study,
    folder: Path,
    console: Console,
    retry_failed: bool,
    keep: tuple[str, ...],
    signal: control.Signal | None,
    decisions: Decisions | None,
) -> dict[str, int]:
    """Run the trials in a Ray cluster."""
    from sanpose.training import resources
    from sanpose.training.ray_train import interruptible
    from sanpose.training.run import connected
    from sanpose.tuning.trial import trial

    root, first = sweep.runs.absolute(), sweep.checked.configs[0]
    with connected(first.train.workers, resources.trial_environment(first)) as dashboard:
        from sweeps import runner

        cuda = resources.device_type(first) == "cuda"
        driver = Driver(sweep, folder, console, cuda, retry_failed, keep)
        per_trial, places = resources.trial_resources(first, cuda)
        if decisions:
            decisions.concurrent = lambda: elasticity.concurrent(places, per_trial)
        disk.patiently(folder, lambda: ownership.start(sweep, root, dashboard))
        driver.trim_pruned()
        try:
            with ExitStack() as stack:
                stack.enter_context(_live_status(root, sweep.name, console))
                stack.enter_context(elasticity.demand_reported(study.remaining, per_trial))
                if first.train.workers > 1:
                    stack.enter_context(placements.orphans_removed())
                if signal:
                    stack.enter_context(signal.passed_on(driver.stop))
                interruptible(
                    lambda: runner.run(
                        study,
                        driver,
                        trial,
                        per_trial,
                        concurrent=elasticity.concurrent(places, per_trial),
                        reuse=first.train.workers == 1,
                        max_failures=elasticity.max_failures(first.train.max_failures),
                    )
                )
            driver.trim_pruned()
            if driver.stopping:
                raise StoppedError(f"sweep {sweep.name} has stopped")
        except BaseException:
            driver.interrupted()
            raise
        disk.patiently(folder, lambda: ownership.finish(sweep, root))  # before Ray shuts down, which may fail
    return driver.counts


@contextmanager
def _live_status(root: Path, name: str, console: Console) -> Iterator[None]:
    """In a terminal, show the status of the sweep (as `sanpose status` does) below the printed lines."""
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
