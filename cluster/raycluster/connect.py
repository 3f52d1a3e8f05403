"""The Ray cluster that a command uses: the cluster at RAY_ADDRESS, else a private one on this machine.

A private cluster has its own short temporary folder, so it neither joins another user's Ray nor leaves files behind.
Ray opens its temporary folder to every user, so ours is one level above.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypedDict

from cluster.files import write_atomic
from cluster.raycluster.leftovers import end_processes
from cluster.raycluster.probe import require_listener
from cluster.raycluster.token import private_token

_SETTINGS = {
    # With Ray's default health check, every report waits for over a second.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    # How long a reused process may take to stop a pruned trial. After Tune's default of two seconds, the process would
    # silently drop the next trial.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "600",
}
# Added to the runtime environment of `ray job submit`, not in place of it.
_DRIVER_SETTINGS = {
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",
    # With Ray's default of 15 every other process comes first, Ray's own too: a training on two cores is 10 % slower.
    "RAY_worker_niceness": "0",
    # Ray would start a process per core, which our tasks cannot use: they have their own environment variables.
    "RAY_prestart_worker_first_driver": "0",
    # How often Ray looks for new log files of its processes, which nobody follows here. Default: twice a second.
    "LOG_NAME_UPDATE_INTERVAL_S": "30",
}
# Ray Train's helper asks the dashboard whether a training is alive, and frees the training's resources if not. Without
# a dashboard the helper would ask that of any other Ray on the machine, which does not know our training. If nobody
# answers, the helper does nothing.
_NO_DASHBOARD = {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1"}
TEMPORARY = Path("/tmp")  # AF_UNIX paths end at 107 bytes
_PREFIX, _SESSION, _NOTE = "sanpose-ray-", "r", "ray.json"
GRACE_SECONDS = 5.0  # Ray's processes end by themselves, within a second as a rule


@contextmanager
def ray_cluster(
    cpus: int, environment: Mapping[str, str] | None = None, begin_worker: Callable[[], None] | None = None
) -> Iterator[str | None]:
    """Connect to $RAY_ADDRESS, or start a private Ray with at least `cpus` CPUs and end it, with all its processes,
    afterwards.

    environment: variables for every process of this driver. begin_worker: a function that every such process calls
    first; its module is sent to the process. Yields the URL of Ray's dashboard, or None without one: a private Ray gets
    a dashboard only from `cluster.raycluster.dashboard`. If this process is already connected to a Ray, that Ray is
    used and left running. Raises ConnectionError when $RAY_ADDRESS does not answer.
    """
    for name, value in {**_SETTINGS, **_DRIVER_SETTINGS}.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield None
        return
    warnings.filterwarnings("ignore", category=FutureWarning)
    address = os.environ.get("RAY_ADDRESS")
    own = {} if address else _NO_DASHBOARD
    settings = {name: os.environ[name] for name in _SETTINGS}
    runtime: dict[str, object] = {"env_vars": {**settings, **own, **(environment or {})}}
    if begin_worker:
        ray.cloudpickle.register_pickle_by_value(sys.modules[begin_worker.__module__])
        runtime["worker_process_setup_hook"] = begin_worker
    common = {"runtime_env": runtime, "logging_level": logging.ERROR, "log_to_driver": False}
    with ExitStack() as stack:
        if address:
            require_listener(address)
            stack.callback(ray.shutdown)
            context = ray.init(address=address, **common)
        else:
            folder = _temporary()
            stack.callback(_remove, folder, GRACE_SECONDS)
            stack.enter_context(private_token(folder))
            stack.callback(ray.shutdown)
            size = max(cpus, len(os.sched_getaffinity(0)))
            common["_temp_dir"] = str(folder / _SESSION)
            context = ray.init(address="local", num_cpus=size, include_dashboard=False, **common)
            write_atomic(folder / _NOTE, json.dumps(_note(context.address_info)), 0o600)
        yield f"http://{context.dashboard_url}" if context.dashboard_url else None


def private(pid: int) -> Path | None:
    """The folder of the private Ray that a process of this user on this machine has started; None without one."""
    folders = [path for path in TEMPORARY.glob(f"{_PREFIX}{pid}-*") if _own(path) and (path / _NOTE).is_file()]
    return folders[0] if folders and Path(f"/proc/{pid}").exists() else None


def _own(path: Path) -> bool:
    """Whether a path is a folder of this user that nobody else can write to: anybody can make a folder of this name."""
    try:
        status = path.lstat()
    except OSError:  # it has just been removed
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022


class _Note(TypedDict):
    """The file that a private Ray leaves in its folder. secret: variables that hold a secret; their values are not
    written."""

    address: dict[str, str]
    environment: dict[str, str]
    secret: list[str]


class PrivateRay(NamedTuple):
    """How to connect to a private Ray.

    address: Ray's own address information ("gcs_address", "session_dir", "node_ip_address", ...). environment: the
    variables that a client needs. missing: secret variables that a client needs and that are not set in this process.
    """

    address: dict[str, str]
    environment: dict[str, str]
    missing: list[str]


def read_private(folder: Path) -> PrivateRay:
    """How to connect to the private Ray of a folder that `private` has returned."""
    note: _Note = json.loads((folder / _NOTE).read_text())
    missing = [name for name in note.get("secret", ()) if name not in os.environ]
    return PrivateRay(note["address"], note["environment"], missing)


def _note(address: Mapping[str, str]) -> _Note:
    """Ray sets RAY_AUTH_MODE when it starts. A token from the environment is a secret and is not written."""
    public = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH")
    return {
        "address": dict(address),
        "environment": {name: os.environ[name] for name in public if name in os.environ},
        "secret": [name for name in ("RAY_AUTH_TOKEN",) if name in os.environ],
    }


def _temporary() -> Path:
    """A new folder for a private Ray. What killed processes of this user left behind is ended and removed first."""
    for folder in TEMPORARY.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists() and _own(folder):
            _remove(folder, 0)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=TEMPORARY))


def _remove(folder: Path, grace: float) -> None:
    """End the processes of a private Ray that still live after `grace` seconds, and remove its folder."""
    end_processes(folder, grace)
    shutil.rmtree(folder, ignore_errors=True)
