"""`python -m cluster.raycluster.dashboard PID PORT`: Ray's dashboard, on the loopback, for a process's private Ray.

A private Ray starts without one: its ten processes take memory, and 3 % of a small machine's time
(docs/performance.md). This is the command with which Ray itself would have started it; left alone, it would outlive
that Ray.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from cluster.raycluster import connect

_LOOK_SECONDS, _END_SECONDS = 1.0, 3.0


def command(told: Mapping[str, str], port: int) -> list[str]:
    """The command line of the dashboard for the Ray of these addresses. Raises Ray's error when it does not answer."""
    import ray
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled

    session = Path(told["session_dir"])
    given = {
        "host": "127.0.0.1",
        "port": port,
        "gcs-address": told["gcs_address"],
        "cluster-id-hex": GcsClient(address=told["gcs_address"]).cluster_id.hex(),
        "node-ip-address": told["node_ip_address"],
        "temp-dir": session.parent,
        "session-dir": session,
        "log-dir": session / "logs",
    }
    program = Path(ray.__file__).parent / "dashboard" / "dashboard.py"
    return [sys.executable, str(program), *(f"--{name}={value}" for name, value in given.items())]


def main() -> None:
    """Run the dashboard until it or its Ray ends."""
    pid, port = map(int, sys.argv[1:])
    folder = connect.private(pid)
    if folder is None:
        sys.exit(f"process {pid} has no private Ray any more")
    told = connect.told(folder)
    if told.lacking:
        sys.exit(f"this Ray's token is in {told.lacking[0]} alone: set it where this dashboard starts too")
    os.environ.update(told.environment)
    dashboard = subprocess.Popen(command(told.address, port))
    try:
        while dashboard.poll() is None and connect.private(pid) == folder:
            time.sleep(_LOOK_SECONDS)
    finally:
        _end(psutil.Process().children(recursive=True))
    sys.exit(dashboard.returncode)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(processes, _END_SECONDS)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    main()
