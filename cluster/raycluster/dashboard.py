"""`python -m cluster.raycluster.dashboard PID PORT`: Ray's dashboard, on the loopback, for a process's private Ray.

A private Ray starts without a dashboard, whose ten processes take memory and 3 % of a small machine's time
(docs/performance.md). This module runs the command with which Ray itself would have started the dashboard, and ends the
dashboard when the private Ray ends.
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
from cluster.raycluster.ray_internals import cluster_id, dashboard_program

_LOOK_SECONDS, _END_SECONDS = 1.0, 3.0


def command(address: Mapping[str, str], port: int) -> list[str]:
    """The command line of the dashboard. address: as in `PrivateRay`. Raises Ray's error when that Ray does not
    answer."""
    session = Path(address["session_dir"])
    options = {
        "host": "127.0.0.1",
        "port": port,
        "gcs-address": address["gcs_address"],
        "cluster-id-hex": cluster_id(address["gcs_address"]),
        "node-ip-address": address["node_ip_address"],
        "temp-dir": session.parent,
        "session-dir": session,
        "log-dir": session / "logs",
    }
    return [sys.executable, str(dashboard_program()), *(f"--{name}={value}" for name, value in options.items())]


def main() -> None:
    """Run the dashboard until the dashboard or its Ray ends."""
    pid, port = map(int, sys.argv[1:])
    folder = connect.private(pid)
    if folder is None:
        sys.exit(f"process {pid} has no private Ray any more")
    ray = connect.read_private(folder)
    if ray.missing:
        sys.exit(f"the token of this Ray is only in the variable {ray.missing[0]}: set it where this dashboard starts")
    os.environ.update(ray.environment)
    dashboard = subprocess.Popen(command(ray.address, port))
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
