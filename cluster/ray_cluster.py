"""The Ray cluster that a command uses: the one named by RAY_ADDRESS, else a private one on this machine.

A private cluster has its own short temporary folder, so it neither joins a stranger's Ray nor leaves files behind.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Ray's default health check lets every report wait for over a second.
_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}


@contextmanager
def ray_cluster(cpus: int) -> Iterator[None]:
    """Connect to $RAY_ADDRESS, or start a private Ray with at least `cpus` CPUs and end it afterwards.

    A Ray that this process is connected to already is used as it is, and left running.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    warnings.filterwarnings("ignore", category=FutureWarning)
    runtime = {"env_vars": {name: os.environ[name] for name in _SETTINGS}}
    common = {"runtime_env": runtime, "logging_level": logging.ERROR, "log_to_driver": False}
    address = os.environ.get("RAY_ADDRESS")
    folder = None
    try:
        if address:
            ray.init(address=address, **common)
        else:
            folder = tempfile.mkdtemp(prefix="sanpose-ray-", dir="/tmp")  # AF_UNIX paths end at 107 bytes
            available = len(os.sched_getaffinity(0))
            ray.init(address="local", num_cpus=max(cpus, available), _temp_dir=folder, **common)
        yield
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
