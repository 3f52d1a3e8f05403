"""Between Ray Train and the loop: a TorchTrainer whose workers run `loop.train`, and what comes back of it.

A worker that dies is replaced by Ray Train, and the loop continues from the newest checkpoint. A UserError is not tried
again: the worker writes it into the run's folder, and every worker that starts after it ends at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from cluster import printing
from sanpose import disk
from sanpose.config import Config
from sanpose.errors import StoppedError, TrainingFailedError, UserError

_FAILURE = "failure.json"
_COORDINATOR = {"CPU": 0.0, "node:__internal_head__": 0.001}
_OTHER_SECONDS, _POLL_SECONDS = 60.0, 0.1

# glibc returns large blocks to the system after every step by default; keeping them makes a CPU step a quarter faster.
ALLOCATOR = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:"
    "glibc.malloc.top_pad=268435456:glibc.malloc.arena_max=1"
)


def allocator() -> dict[str, str]:
    """The allocator's settings for training on a CPU; GLIBC_TUNABLES in this environment has the last word."""
    return {"GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", ALLOCATOR)}


def environment(device: str) -> dict[str, str]:
    """The environment variables of worker processes that train on "cpu" or "cuda"."""
    env = {"PYTHONWARNINGS": "ignore::FutureWarning"}
    return env | ({"DS_ACCELERATOR": "cpu", **allocator()} if device == "cpu" else {})


def trial_environment(config: Config) -> dict[str, str]:
    """The environment variables of a sweep's processes, which start before Ray has said what it has."""
    return {} if config.train.accelerator == "cuda" else allocator()


def trial_resources(config: Config, cuda: bool) -> tuple[dict[str, float], int]:
    """What the process of one trial holds in Ray, and how many trials the cluster can place side by side.

    On a CPU a worker takes train.threads cores; with threads 0 a trial has a machine to itself. On a GPU it takes one,
    and train.threads cores of the same machine, at least one. A trial of several workers holds next to nothing itself,
    on the head: its workers do. Raises UserError when no machine has room for one worker.
    """
    import ray

    train, machines = config.train, [node["Resources"] for node in ray.nodes() if node["Alive"]]
    rooms = [(int(m.get("CPU", 0)), int(m.get("GPU", 0))) for m in machines if m.get("GPU") or not cuda]
    largest = max((cpus for cpus, _ in rooms), default=0)
    cores = train.threads or (1 if cuda else min((cpus for cpus, _ in rooms if cpus), default=1))
    if cores > largest:
        raise UserError(
            f"train.threads={train.threads} takes {cores} CPUs for a worker, and Ray's largest machine"
            f"{' with a GPU' if cuda else ''} has {largest}",
            hint=f"train.threads={largest}, or 0" if largest else "a Ray that was started with CPUs: --num-cpus",
        )
    places = sum(min(cpus // cores, gpus if cuda else cpus) for cpus, gpus in rooms) // train.workers
    if places < 1 or (train.workers > 1 and not cuda and not train.threads):
        _require_room(config, "GPU" if cuda else "CPU")
        places = 1
    per_worker = {"CPU": float(cores)} | ({"GPU": 1.0} if cuda else {})
    return (per_worker if train.workers == 1 else _COORDINATOR), places


def device_type(config: Config) -> str:
    """ "cuda" or "cpu", by what the connected Ray has. Raises UserError when CUDA is asked for and there is none."""
    import ray

    gpus = ray.cluster_resources().get("GPU", 0)
    if config.train.accelerator == "cuda" and not gpus:
        raise UserError("train.accelerator=cuda, but Ray has no GPU", hint="train.accelerator=cpu")
    return "cuda" if gpus and config.train.accelerator != "cpu" else "cpu"


def _require_room(config: Config, kind: str) -> None:
    """Ray Train would wait for ever for what the cluster does not have."""
    import ray

    have = int(ray.cluster_resources().get(kind, 0))
    if have < config.train.workers:
        raise UserError(
            f"train.workers={config.train.workers} needs as many {kind}s, and Ray has {have}",
            hint=f"train.workers={max(1, have)}",
        )


def fit(config: Config, folder: Path) -> dict[str, Any]:
    """Train in Ray Train's workers; what `trained` says of the final network, or {"stopped": checkpoint}. Ray must be
    connected.

    Raises UserError for what the loop refuses, TrainingFailedError when the workers keep dying.
    """
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    device = device_type(config)
    cuda = device == "cuda"
    _require_room(config, "GPU" if cuda else "CPU")
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

    from sanpose.model import complexity

    cost = complexity.count(config.model, config.data.input_height, config.data.input_width).total
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

    from sanpose import config, loop
    from sanpose.engine import Place

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
        chosen = config.from_plain(given["config"])
        with sole(folder) if rank == 0 else nullcontext():
            figures = loop.train(chosen, folder, Place(rank, world, device), ray.train.report)
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


@contextmanager
def sole(folder: Path) -> Iterator[None]:
    """Wait until no process of an earlier start trains into the folder any more: one whose driver was killed lives on
    for a moment. Raises UserError when it does not end."""
    until = time.monotonic() + _OTHER_SECONDS
    with disk.patiently(folder, lambda: (folder / ".worker.lock").open("w")) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise UserError("a process of an earlier start still trains this run", where=folder) from error
                time.sleep(_POLL_SECONDS)
        yield


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
