"""One trial of a sweep, in the process where Ray Tune runs it.

With one worker the loop runs in this process, which then runs the next trial: torch and DeepSpeed are imported once.
With several workers the trial goes through Ray Train, as `sanpose train` does. The loop is the same.
"""

from __future__ import annotations

import functools
import gc
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypedDict

from sanpose.config.schema import Config
from sanpose.runs import ledger
from sanpose.runs.paths import RunPaths
from sanpose.runs.result import TrainingResult
from sweeps.files import BrokenRecord
from sweeps.outcomes import Done, Failed, Stopped, to_json
from sweeps.runner import OUTCOME, SCORE, TrialReport

_POLL_SECONDS = 0.2


class TrialPayload(TypedDict):
    """The input of a trial's process: the configuration, the run's folder, and whether to use CUDA."""

    config: dict[str, object]
    folder: str
    cuda: bool


def trial(payload: TrialPayload) -> None:
    """Train the configuration of a `TrialPayload` in its folder. Report scores along the way, and the outcome last.

    An error of the run (bad data, a loss that is not finite, no memory) is its outcome; Tune handles only the death of
    a process. If the process dies while the driver records its outcome, Tune restarts it; a run that is recorded as
    done is skipped.
    """
    import ray.tune
    from ray.exceptions import OutOfMemoryError, RayActorError

    from sanpose.config.compose import from_plain

    config, paths = from_plain(payload["config"]), RunPaths(Path(payload["folder"]))
    if _done(paths):
        return
    outcome: Done[TrainingResult] | Stopped | Failed
    try:
        if config.train.workers == 1:
            outcome = _train_here(config, paths, payload["cuda"])
        else:
            outcome = _train_in_workers(config, paths)
    except Exception as error:
        if isinstance(error.__cause__, RayActorError | OutOfMemoryError):  # Ray Train's controller was killed
            raise
        traceback.print_exc()  # into the run's log
        outcome = Failed(str(error) or type(error).__name__)
    finally:
        gc.collect()
    plain = Done(outcome.result.plain()) if isinstance(outcome, Done) else outcome
    ray.tune.report({OUTCOME: to_json(plain), "epoch": config.train.epochs})


@functools.cache
def _freeze() -> None:
    """Keep half a million imported objects away from the garbage collector: 0.25 s a trial."""
    gc.collect()
    gc.freeze()


def _done(paths: RunPaths) -> bool:
    """Whether the driver has recorded a run as done."""
    try:
        return ledger.read(paths.folder).status == "done"
    except BrokenRecord:  # a network file system may hide a new folder for a moment
        return False


def _train_here(config: Config, paths: RunPaths, cuda: bool) -> Done[TrainingResult] | Stopped:
    """Train in this process."""
    import ray.tune
    import torch

    from sanpose.errors import StoppedError
    from sanpose.runs.locks import only_worker
    from sanpose.training import engine, loop
    from sanpose.training.ray_train import log_to

    _freeze()
    log_to(paths.worker_log(0))
    device = torch.device("cuda", 0) if cuda else torch.device("cpu")
    engine.single_process(device.type)

    def report(finished: loop.EpochReport) -> None:
        if finished.epoch < config.train.epochs:  # a run that has finished is not pruned
            ray.tune.report({"epoch": finished.epoch, SCORE: finished.score})

    # A driver that died may have missed these reports, or may not have pruned the run after them.
    for earlier in _evaluations(config, paths, 0):
        ray.tune.report(earlier)
    try:
        with only_worker(paths):
            figures = loop.train(config, paths.folder, engine.WorkerPlace(0, 1, device), report)
    except StoppedError as stopped:
        return Stopped(str(stopped))
    finally:
        if cuda:
            torch.cuda.empty_cache()
    return Done(loop.result_of(config, figures, device.type))


def _train_in_workers(config: Config, paths: RunPaths) -> Done[TrainingResult] | Stopped:
    """Train in Ray Train's workers, and report the scores in their journal."""
    import ray.tune

    from sanpose.training import ray_train

    outcome: Future[Done[TrainingResult] | Stopped] = Future()

    def fit() -> None:
        try:
            outcome.set_result(ray_train.fit(config, paths))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    reported_epoch = 0
    while thread.is_alive():
        thread.join(_POLL_SECONDS)
        for report in _evaluations(config, paths, reported_epoch):
            reported_epoch = report["epoch"]
            ray.tune.report(report)
    return outcome.result()


def _evaluations(config: Config, paths: RunPaths, after: int) -> Iterator[TrialReport]:
    """The evaluations in a run's journal after an epoch, as reports, except those of the last epoch."""
    from sanpose.metrics import headline
    from sanpose.runs import journal

    for line in journal.read(paths.journal):
        if line["kind"] == "evaluation" and after < line["epoch"] < config.train.epochs:
            yield {"epoch": line["epoch"], SCORE: headline.score(line["figures"])}
