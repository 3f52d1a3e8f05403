"""What a training uses of Ray: devices, CPUs, environment variables."""

from __future__ import annotations

import os

from sanpose.config.schema import Config
from sanpose.errors import UserError

_COORDINATOR = {"CPU": 0.0, "node:__internal_head__": 0.001}

# By default glibc returns large blocks to the system after every step. Without this a CPU step is a quarter faster.
ALLOCATOR = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:"
    "glibc.malloc.top_pad=268435456:glibc.malloc.arena_max=1"
)


def allocator() -> dict[str, str]:
    """The allocator's settings for training on a CPU. GLIBC_TUNABLES in this environment overrides them."""
    return {"GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", ALLOCATOR)}


def environment(device: str) -> dict[str, str]:
    """The environment variables of worker processes that train on "cpu" or "cuda"."""
    env = {"PYTHONWARNINGS": "ignore::FutureWarning"}
    return env | ({"DS_ACCELERATOR": "cpu", **allocator()} if device == "cpu" else {})


def trial_environment(config: Config) -> dict[str, str]:
    """The environment variables of a sweep's processes, which start before Ray knows its devices."""
    return {} if config.train.accelerator == "cuda" else allocator()


def trial_resources(config: Config, cuda: bool) -> tuple[dict[str, float], int]:
    """The resources that the process of one trial holds in Ray, and how many trials the cluster can place side by side.

    On a CPU a worker takes train.threads cores; with threads 0 each trial has a machine to itself. On a GPU a worker
    takes one GPU, and train.threads cores of the same machine, at least one. The process of a trial with several
    workers holds almost nothing, on the head; its workers hold the resources. Raises UserError when no machine has room
    for one worker.
    """
    import ray

    train, machines = config.train, [node["Resources"] for node in ray.nodes() if node["Alive"]]
    rooms = [(int(m.get("CPU", 0)), int(m.get("GPU", 0))) for m in machines if m.get("GPU") or not cuda]
    largest = max((cpus for cpus, _ in rooms), default=0)
    cores = train.threads or (1 if cuda else min((cpus for cpus, _ in rooms if cpus), default=1))
    if cores > largest:
        raise UserError(
            f"train.threads={train.threads} needs {cores} CPUs for a worker, and Ray's largest machine"
            f"{' with a GPU' if cuda else ''} has {largest}",
            hint=f"train.threads={largest}, or 0" if largest else "start Ray with CPUs: --num-cpus",
        )
    places = sum(min(cpus // cores, gpus if cuda else cpus) for cpus, gpus in rooms) // train.workers
    if places < 1 or (train.workers > 1 and not cuda and not train.threads):
        require_room(config, "GPU" if cuda else "CPU")
        places = 1
    per_worker = {"CPU": float(cores)} | ({"GPU": 1.0} if cuda else {})
    return (per_worker if train.workers == 1 else _COORDINATOR), places


def device_type(config: Config) -> str:
    """ "cuda" or "cpu", depending on the connected Ray. Raises UserError when the configuration asks for a missing
    GPU."""
    import ray

    gpus = ray.cluster_resources().get("GPU", 0)
    if config.train.accelerator == "cuda" and not gpus:
        raise UserError("train.accelerator=cuda, but Ray has no GPU", hint="train.accelerator=cpu")
    return "cuda" if gpus and config.train.accelerator != "cpu" else "cpu"


def require_room(config: Config, kind: str) -> None:
    """Refuse more workers than the cluster has room for: Ray Train would wait for ever. Raises UserError."""
    import ray

    have = int(ray.cluster_resources().get(kind, 0))
    if have < config.train.workers:
        raise UserError(
            f"train.workers={config.train.workers} needs as many {kind}s, and Ray has {have}",
            hint=f"train.workers={max(1, have)}",
        )
