"""Between Ray Train and the loop: a TorchTrainer whose workers run `loop.train`, and what comes back."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from cluster import printing
from sanpose import disk
from sanpose.config.schema import Config
from sanpose.errors import StoppedError, TrainingFailedError, UserError
from sanpose.runs.locks import sole
from sanpose.training.resources import device_type, environment, require_room

_FAILURE = "failure.json"


def fit(config: Config, folder: Path) -> dict[str, Any]:
    """Train in Ray Train's workers; what `trained` says of the final network, or {"stopped": checkpoint}. Ray must be
    connected.

    Raises UserError for what the loop refuses, TrainingFailedError when the workers keep dying.
    """
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    device = device_type(config)
    cuda = device == "cuda"
    require_room(config, "GPU" if cuda else "CPU")
    (folder / _FAILURE).unlink(missing_ok=True)
    per_worker = {"CPU": 1.0, "GPU": 1.0} if cuda else {"CPU": 1.0}
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"config": config.plain(), "folder": str(folder.absolute()), "cuda": cuda},
        torch_config=TorchConfig(
            backend="nccl" if cuda else "gloo",
            timeout_s=round(min(max(1800, 2 * disk.patience()), 1e7)),  # for a worker that waits for its disk
        ),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.train.workers,
            use_gpu=cuda,
            resources_per_worker=per_worker,
            placement_strategy="PACK" if cuda else "SPREAD",  # cores of one machine share its memory's bandwidth
        ),
        run_config=ray.train.RunConfig(
            name=f"{folder.name}-{os.getpid()}",
            storage_path=str((folder / "logs" / "ray").absolute()),
            worker_runtime_env={"env_vars": environment(device)},
            failure_config=ray.train.FailureConfig(max_failures=config.train.max_failures),
        ),
    )
    try:
        result = interruptible(trainer.fit)
    except Exception as error:
        _raise_failure(folder)
        raise TrainingFailedError(f"the workers failed: {_reason(error)}; see {folder / 'logs'}") from error
    _raise_failure(folder)
    trained: dict[str, Any] = result.return_value
    return trained


def trained(config: Config, figures: dict[str, Any], device: str) -> dict[str, Any]:
    """What a record holds of a trained network: its figures, where it was trained, and what it costs per image."""
    import torch

    from sanpose.model.cost import network_cost

    cost = network_cost(config.model, config.data.input_height, config.data.input_width).total
    told = {"figures": figures, "device": device, "threads": torch.get_num_threads()}
    return {**told, "macs": cost.macs, "parameters": cost.parameters}


def interruptible(call: Callable[[], Any]) -> Any:
    """Call in a thread, so that Ctrl-C reaches the main one: there Ray Train would take the signal for itself, and
    keep it after the run."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result()


def _worker(given: dict[str, Any]) -> dict[str, Any]:
    """What runs in each worker process."""
    import ray.train
    import ray.train.torch
    import torch

    from sanpose.config.compose import from_plain
    from sanpose.training import loop
    from sanpose.training.engine import WorkerPlace

    folder = Path(given["folder"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    log_to(folder / "logs" / f"worker-{rank}.log")
    if (folder / _FAILURE).exists():
        return {}
    device = torch.device("cpu")
    if given["cuda"]:
        device = ray.train.torch.get_device()
        torch.cuda.set_device(device)
    try:
        chosen = from_plain(given["config"])
        with sole(folder) if rank == 0 else nullcontext():
            figures = loop.train(chosen, folder, WorkerPlace(rank, world, device), ray.train.report)
        return trained(chosen, figures, device.type)
    except StoppedError as stopped:
        return {"stopped": str(stopped)}
    except UserError as error:
        told = [error.what, None if error.where is None else str(error.where), error.expected, error.hint]
        disk.patiently(folder, lambda: _tell(folder, rank, told))
        raise


def _tell(folder: Path, rank: int, told: list[str | None]) -> None:
    part = folder / f".{_FAILURE}.{rank}"
    part.write_text(json.dumps(told))
    os.replace(part, folder / _FAILURE)


def log_to(path: Path) -> None:
    """Send everything that this process prints, its libraries too, to a file of the run."""
    file = disk.patiently(path.parent, lambda: _appended_to(path))
    printing.write_kept()
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    printing.outlast_full_disk()


def _appended_to(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _raise_failure(folder: Path) -> None:
    path = folder / _FAILURE
    if path.exists():
        what, where, expected, hint = json.loads(path.read_text())
        path.unlink()
        raise UserError(what, where=where, expected=expected, hint=hint)


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
