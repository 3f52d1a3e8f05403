"""Where a run came from: the commit and what differs from it, versions, the machine.

Works outside a git repository, and without git: the reason is then recorded in place of the commit. Knows nothing of
accelerators; the caller adds what it knows of them through X
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeps.secrecy import masked

SNAPSHOT = ".provenance.json"  # in a copy of the code that a job runs
GIT_SECONDS = 20  # a network file system can be slow; a run must not hang on it


def collect(repository: Path, packages: Sequence[str]) -> dict[str, Any]:
    """Everything needed to say what produced a run; plain data, written by `ledger.create`.

    Keys: `at` (UTC, ISO 8601), `command` (no passwords), `git` (see `git_state`), `packages` (name -> version, None
    where it isn't installed), `python`, `platform`, `machine` (hostname, CPU model, CPUs present and usable).
    """
    return {
        "at": now(),
        "command": [masked(word) for word in sys.argv],
        "git": git_state(repository),
        "packages": {name: _version(name) for name in packages},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": {
            "hostname": socket.gethostname(),
            "cpu": _cpu_model(),
            "cpus": os.cpu_count(),
            "cpus_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        },
    }


def now() -> str:
    """The time in UTC to the second, in ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def git_state(repository: Path, *, own: bool = False) -> dict[str, Any]:
    """`commit`, `dirty`, `diff` (text against the commit, staged or not), `untracked` (file names, not their contents).

    Where there is no repository, no commit yet or no git: `commit` is None and `reason` says why. A snapshot of the
    code says itself what it was taken of. own: only if the folder is the root of the repository.
    """
    with contextlib.suppress(FileNotFoundError):
        taken_of: dict[str, Any] = json.loads((repository / SNAPSHOT).read_text())["git"]
        return taken_of
    try:
        top = Path(_git(repository, "rev-parse", "--show-toplevel").strip())
        if own and top.resolve() != repository.resolve():
            return {"commit": None, "reason": f"{repository} is not the root of a git repository"}
        commit = _git(repository, "rev-parse", "--verify", "HEAD").strip()
        diff = _git(repository, "diff", "HEAD", "--no-ext-diff", "--no-color")
        listing = _git(repository, "ls-files", "--others", "--exclude-standard", "-z")
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        return {"commit": None, "reason": lines[-1] if lines else f"git ended with code {error.returncode}"}
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"commit": None, "reason": str(error)}
    untracked = [name for name in listing.split("\0") if name]
    return {"commit": commit, "dirty": bool(diff or untracked), "diff": diff, "untracked": untracked}


def _git(repository: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(repository), *arguments],
        check=True,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=GIT_SECONDS,
    )
    return result.stdout


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
