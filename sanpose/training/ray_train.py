"""Between Ray Train and the loop: a TorchTrainer whose workers run `loop.train`, and their outcome.

Ray Train replaces a dead worker, and the loop resumes from the newest checkpoint. A UserError is not retried: the
worker writes it into the run's folder, and every worker that starts later stops at once.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict, TypeVar

from cluster import printing
from sanpose import disk
from sanpose.config.schema import Config
from sanpose.errors import StoppedError, TrainingFailedError, UserError
from sanpose.runs.locks import only_worker
from sanpose.runs.paths import RunPaths
from sanpose.runs.result import TrainingResult
from sanpose.training.resources import device_type, environment, require_room
from sweeps.outcomes import Done, Stopped

T = TypeVar("T")


class _WorkerSettings(TypedDict):
    """The input of every worker process."""

    config: dict[str, object]
    folder: str
    cuda: bool


def fit(config: Config, paths: RunPaths) -> Done[TrainingResult] | Stopped:
    """Train in Ray Train's workers. Ray must be connected.

    Raises UserError as the loop does, and TrainingFailedError when the workers die too often.
    """
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    device = device_type(config)
    cuda = device == "cuda"
    require_room(config, "GPU" if cuda else "CPU")
    paths.failure.unlink(missing_ok=True)
    trainer = TorchTrainer(
        _worker,
        train_loop_config=_WorkerSettings(config=config.plain(), folder=str(paths.folder.absolute()), cuda=cuda),
        torch_config=TorchConfig(
            backend="nccl" if cuda else "gloo",
            timeout_s=round(min(max(1800, 2 * disk.patience()), 1e7)),  # a worker may wait for its disk
        ),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.train.workers,
            use_gpu=cuda,
            resources_per_worker={"CPU": 1.0, "GPU": 1.0} if cuda else {"CPU": 1.0},
            placement_strategy="PACK" if cuda else "SPREAD",  # cores of one machine share its memory's bandwidth
        ),
        run_config=ray.train.RunConfig(
            name=f"{paths.run}-{os.getpid()}",
            storage_path=str(paths.ray.absolute()),
            worker_runtime_env={"env_vars": environment(device)},
            failure_config=ray.train.FailureConfig(max_failures=config.train.max_failures),
        ),
    )
    try:
        result = interruptible(trainer.fit)
    except Exception as error:
        _raise_failure(paths)
        raise TrainingFailedError(f"the workers failed: {_reason(error)}; see {paths.logs}") from error
    _raise_failure(paths)
    outcome: Done[TrainingResult] | Stopped | None = result.return_value
    if outcome is None:  # a worker saw the failure of an earlier start, which is gone by now
        raise TrainingFailedError(f"a worker stopped without an outcome; see {paths.logs}")
    return outcome


def interruptible(call: Callable[[], T]) -> T:
    """Call in a thread, so that Ctrl-C reaches the main thread. In the main thread Ray Train would install its own
    handler, and keep it after the run."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result()


def log_to(path: Path) -> None:
    """Redirect everything that this process and its libraries print to a file of the run."""
    file = disk.patiently(path.parent, lambda: _open_log(path))
    printing.write_kept()
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    printing.outlast_full_disk()


def _open_log(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _worker(settings: _WorkerSettings) -> Done[TrainingResult] | Stopped | None:
    """Train in a worker process. Returns None after a UserError of an earlier worker."""
    import ray.train
    import ray.train.torch
    import torch

    from sanpose.config.compose import from_plain
    from sanpose.training import loop
    from sanpose.training.engine import WorkerPlace

    paths = RunPaths(Path(settings["folder"]))
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    log_to(paths.worker_log(rank))
    if paths.failure.exists():
        return None
    device = torch.device("cpu")
    if settings["cuda"]:
        device = ray.train.torch.get_device()
        torch.cuda.set_device(device)
    try:
        config, place = from_plain(settings["config"]), WorkerPlace(rank, world, device)
        with only_worker(paths) if rank == 0 else nullcontext():
            figures = loop.train(config, paths.folder, place, lambda report: ray.train.report(asdict(report)))
        return Done(loop.result_of(config, figures, device.type))
    except StoppedError as stopped:
        return Stopped(str(stopped))
    except UserError as error:
        failure = [error.what, None if error.where is None else str(error.where), error.expected, error.hint]
        disk.patiently(paths.folder, lambda: _write_failure(paths, rank, failure))
        raise


def _write_failure(paths: RunPaths, rank: int, failure: list[str | None]) -> None:
    part = paths.folder / f".{paths.failure.name}.{rank}"
    part.write_text(json.dumps(failure))
    os.replace(part, paths.failure)


def _raise_failure(paths: RunPaths) -> None:
    """Raise the UserError of a worker, if there is one."""
    if paths.failure.exists():
        what, where, expected, hint = json.loads(paths.failure.read_text())
        paths.failure.unlink()
        raise UserError(what, where=where, expected=expected, hint=hint)


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
