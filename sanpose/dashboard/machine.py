"""The load of this machine: CPU, memory, the disk of the runs, and GPUs where nvidia-smi is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import psutil

_SECONDS = 2.0
_GPU = ("index", "name", "utilization.gpu", "memory.used", "memory.total")


class Machine:
    """`usage` measures at most every 2 s, whatever the number of callers."""

    def __init__(self, runs: Path):
        self._runs = runs
        self._smi = shutil.which("nvidia-smi")
        self._lock = threading.Lock()
        self._measured, self._usage = 0.0, dict[str, object]()
        psutil.cpu_percent()  # the first call has nothing to compare with

    def usage(self) -> dict[str, object]:
        """`host`, `cpus`, `cpu` (%), `memory` and `disk` ([used, total] bytes), `gpus` ([name, %, [used, total]])."""
        with self._lock:
            if not self._usage or time.monotonic() - self._measured > _SECONDS:
                self._usage = self._measure()
                self._measured = time.monotonic()
            return self._usage

    def _measure(self) -> dict[str, object]:
        memory, disk = psutil.virtual_memory(), shutil.disk_usage(self._runs)
        return {
            "host": socket.gethostname(),
            "cpus": psutil.cpu_count(),
            "cpu": psutil.cpu_percent(),
            "memory": [memory.total - memory.available, memory.total],
            "disk": [disk.total - disk.free, disk.total],
            "gpus": self._gpus() if self._smi else [],
        }

    def _gpus(self) -> list[list[object]]:
        command = [str(self._smi), f"--query-gpu={','.join(_GPU)}", "--format=csv,noheader,nounits"]
        try:
            output = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            self._smi = None  # do not ask a driver that fails again every 2 s
            return []
        return [gpu for gpu in map(_gpu, output.splitlines()) if gpu]


def _gpu(line: str) -> list[object] | None:
    """Name, use in %, [used, total] bytes of a line of nvidia-smi; None without numbers."""
    cells = [cell.strip() for cell in line.split(",")]
    try:
        index, name, busy, used, total = cells
        return [f"{index}: {name}", float(busy), [float(used) * 2**20, float(total) * 2**20]]
    except ValueError:
        return None  # "[N/A]"
