"""The Ray cluster that a command uses: the one named by RAY_ADDRESS, else a private one on this machine.

A private cluster has its own short temporary folder, so it neither joins a stranger's Ray nor leaves files behind. Ray
opens the folder that it is given to every user, so ours is one above it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cluster.files import write_atomic

_SETTINGS = {
    # Ray's default health check lets every report wait for over a second.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    # How long a process that is kept for the next trial may take to let go of a pruned one. After Tune's own two
    # seconds it would forget the next trial without a word.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "600",
}
# Beside what `ray job submit` has said, not instead of it.
_DRIVER_SETTINGS = {
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",
    # At Ray's 15 whatever else runs, its own processes too, comes first: a tenth of a training's speed on two cores.
    "RAY_worker_niceness": "0",
    # Ray would start a process per core that none of ours takes over: they have variables of their own.
    "RAY_prestart_worker_first_driver": "0",
    # How often Ray looks for its processes' new log files, which nobody follows here. Its default is twice a second.
    "LOG_NAME_UPDATE_INTERVAL_S": "30",
}
# Ray Train's helper asks the dashboard whether a training lives, and takes its room away if not. Without one it asks
# that of any other Ray on the machine, which knows nothing of ours. Where nobody answers it leaves things as they are.
_NO_DASHBOARD = {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1"}
_TEMPORARY = Path("/tmp")  # AF_UNIX paths end at 107 bytes
_PREFIX, _SESSION, _TOLD = "sanpose-ray-", "r", "ray.json"


@contextmanager
def ray_cluster(cpus: int, environment: Mapping[str, str] | None = None) -> Iterator[str | None]:
    """Connect to $RAY_ADDRESS, or start a private Ray with at least `cpus` CPUs and end it afterwards.

    `environment`: variables for every process of this driver's. Gives the address of Ray's dashboard, None where there
    is none: a private Ray gets one only from `cluster.raycluster.dashboard`. A Ray that this process is connected to
    already is used as it is, and left running. Raises ConnectionError when $RAY_ADDRESS does not answer.
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
    runtime = {"env_vars": {**{name: os.environ[name] for name in _SETTINGS}, **own, **(environment or {})}}
    common = {"runtime_env": runtime, "logging_level": logging.ERROR, "log_to_driver": False}
    folder = None
    try:
        if address:
            context = ray.init(address=address, **common)
        else:
            _private_token()
            folder = _temporary()
            available = len(os.sched_getaffinity(0))
            size = max(cpus, available)
            common["_temp_dir"] = str(folder / _SESSION)
            context = ray.init(address="local", num_cpus=size, include_dashboard=False, **common)
            told = {"address": dict(context.address_info), **_authentication()}
            write_atomic(folder / _TOLD, json.dumps(told), 0o600)
        yield f"http://{context.dashboard_url}" if context.dashboard_url else None
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def private(pid: int) -> Path | None:
    """The folder of the private Ray that a process of this user's on this machine has started, None without one."""
    found = [path for path in _TEMPORARY.glob(f"{_PREFIX}{pid}-*") if _own(path) and (path / _TOLD).is_file()]
    return found[0] if found and Path(f"/proc/{pid}").exists() else None


def _own(path: Path) -> bool:
    """Whether a path is a folder of this user's that nobody else can write to: anybody can make one of such a name."""
    try:
        found = path.lstat()
    except OSError:  # it has just gone
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


class ConnectionNote(NamedTuple):
    """How to talk to a private Ray. `address`: what Ray says ("gcs_address", "session_dir", "node_ip_address", ...).
    `environment`: the variables that it takes; `lacking`: those of them that are written nowhere, and not set here."""

    address: dict[str, str]
    environment: dict[str, str]
    lacking: list[str]


def told(folder: Path) -> ConnectionNote:
    """Of the private Ray in a folder that `private` has found."""
    read = json.loads((folder / _TOLD).read_text())
    return ConnectionNote(
        read["address"], read["environment"], [name for name in read.get("secret", ()) if name not in os.environ]
    )


def _authentication() -> dict[str, Any]:
    """Ray sets RAY_AUTH_MODE when it starts; a token that is given in the environment is written nowhere."""
    kept = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH")
    return {
        "environment": {name: os.environ[name] for name in kept if name in os.environ},
        "secret": [name for name in ("RAY_AUTH_TOKEN",) if name in os.environ],
    }


def _private_token() -> None:
    """Ray keeps the token of a person's own clusters in the home folder, and makes it readable for everybody."""
    if os.environ.get("RAY_AUTH_MODE") == "disabled" or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    path = Path.home() / ".ray" / "auth_token"
    with contextlib.suppress(OSError):  # no home folder to write to: then Ray has none either
        if path.exists():
            path.chmod(0o600)
        else:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_atomic(path, secrets.token_hex(32), 0o600)


def _temporary() -> Path:
    """A folder for a private Ray; those of this user's processes that were killed are removed first."""
    for left in _TEMPORARY.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists() and _own(left):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_TEMPORARY))
