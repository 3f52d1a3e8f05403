"""Whether a machine can do its part: Python, packages, the accelerator, memory, disks, limits.

`python -m cluster.doctor --job --folder DIR` is what runs on a node before a job starts; `--json` is for those who ask
a node from elsewhere. Each check answers for itself, and one that cannot be made says so.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cluster.slurm.checks import owner

Status = Literal["ok", "warning", "failed"]
_GB = 2**30
_OLDEST_PYTHON = (3, 11)
_TORCH_SECONDS = 180  # its import reads a gigabyte from a file system that others use too
_LEAST_FILES = 4096  # Ray's own advice is 65536; small clusters do with less
_LONGEST_LOCAL = 43 - len("sp-12345678")  # Ray puts sockets below, whose paths end at 107 bytes
_TORCH = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(json.dumps([torch.__version__, torch.version.cuda, count, torch.cuda.get_device_name(0) if count else ""]))
"""


@dataclass(frozen=True)
class Finding:
    """What one check has found. told: on one line, with what to do about it where it isn't ok."""

    name: str
    status: Status
    told: str


def examine(folder: Path, node_local: Path, *, job: bool = False) -> list[Finding]:
    """Everything that can be found out on this machine. folder: where the runs are. job: only what is needed on a node
    before a job starts, in less than a second where there is no GPU."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", _python),
        ("runs", lambda: _shared(folder)),
        ("temporary folder", lambda: _local(node_local)),
        ("shared memory", _memory),
        ("open files", _files),
    ]
    if not job:
        checks.insert(1, ("packages", _packages))
    if not job or (_allotted() and _driver()):
        checks.insert(2, ("torch", _torch))
    return [_made(name, check) for name, check in checks]


def worst(findings: list[Finding]) -> Status:
    """The status of them all."""
    found = {finding.status for finding in findings}
    return "failed" if "failed" in found else "warning" if "warning" in found else "ok"


def _made(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # one check that breaks must not hide the others
        return Finding(name, "failed", f"the check itself has failed: {type(error).__name__}: {error}")


def _python() -> Finding:
    told = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("Python", "failed", f"{told}; 3.11 or newer is needed")
    return Finding("Python", "ok", told)


def _packages() -> Finding:
    """What the distribution that this package came with asks for, beside what is installed."""
    from packaging.requirements import Requirement

    owners = importlib.metadata.packages_distributions().get("cluster", [])
    if not owners:
        return Finding("packages", "warning", "this code is not installed as a package: versions are not checked")
    wrong, count = [], 0
    for text in importlib.metadata.requires(owners[0]) or []:
        needed = Requirement(text)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = importlib.metadata.version(needed.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{needed.name} is missing")
            continue
        if not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name} {version} is not {needed.specifier}")
    if wrong:
        return Finding("packages", "failed", f"{'; '.join(wrong)}; pip install -c constraints.txt -e .")
    return Finding("packages", "ok", f"{count} as {owners[0]} needs them")


def _torch() -> Finding:
    """Imported in a process of its own: a broken driver can hang or kill it."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _TORCH], capture_output=True, text=True, timeout=_TORCH_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Finding(
            "torch", "failed", f"its import has taken more than {_TORCH_SECONDS} s: a hanging driver, or disk"
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        return Finding("torch", "failed", f"it cannot be imported: {last}")
    version, cuda, count, name = json.loads(done.stdout.strip().splitlines()[-1])
    told = f"{version}, {f'{count} x {name}' if count else 'no GPU'}"
    wanted = _allotted()
    if wanted > count and _driver():
        why = f"built for CUDA {cuda}" if cuda else "built without CUDA"
        return Finding("torch", "failed", f"{told}, though {wanted} are this job's and NVIDIA's driver is here; {why}")
    if wanted > count:
        return Finding("torch", "warning", f"{told}, though {wanted} are this job's: no NVIDIA driver is here")
    if not wanted and not count and _driver():
        return Finding("torch", "warning", f"{told}, though NVIDIA's driver is here")
    return Finding("torch", "ok", told)


def _allotted() -> int:
    """The GPUs that Slurm has given this job on this node."""
    text = os.environ.get("SLURM_GPUS_ON_NODE", "")
    return int(text) if text.isdecimal() else 0


def _driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists()


def _memory() -> Finding:
    shm = Path("/dev/shm")
    if not shm.is_dir() or not os.access(shm, os.W_OK):
        return Finding("shared memory", "failed", f"{shm} is missing or cannot be written; Ray keeps its objects there")
    usage = shutil.disk_usage(shm)
    told = f"{usage.free / _GB:.1f} of {usage.total / _GB:.1f} GB free in {shm}"
    if usage.free < _GB / 2:
        return Finding("shared memory", "warning", f"{told}: Ray's objects go to disk, or a container needs --shm-size")
    return Finding("shared memory", "ok", told)


def _shared(folder: Path) -> Finding:
    """A file is written, read and removed: a mounted file system can still be read-only, stale or full."""
    if not folder.is_dir():
        return Finding("runs", "failed", f"{folder} is not there: is the shared file system mounted?")
    name = folder / f".doctor-{uuid.uuid4().hex}"
    try:
        name.write_text(name.name)
        same = name.read_text() == name.name
        name.unlink()
    except OSError as error:
        return Finding("runs", "failed", f"{folder} cannot be written: {error.strerror}")
    if not same:
        return Finding("runs", "failed", f"{folder}: what was written is not what is read")
    return _room("runs", folder, least=_GB // 16, enough=10 * _GB)


def _local(folder: Path) -> Finding:
    name = "temporary folder"
    if not folder.is_dir():
        return Finding(name, "failed", f"{folder} is no folder on this machine; cluster.node_local=/tmp")
    if len(str(folder)) > _LONGEST_LOCAL:
        return Finding(
            name, "failed", f"{folder} has more than {_LONGEST_LOCAL} characters, too many for Ray's sockets"
        )
    try:
        with tempfile.TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        return Finding(name, "failed", f"{folder}, {owner(folder)}'s, cannot be written: {error.strerror}")
    return _room(name, folder, least=_GB // 16, enough=2 * _GB)


def _room(name: str, folder: Path, *, least: int, enough: int) -> Finding:
    free = shutil.disk_usage(folder).free
    told = f"{free / _GB:.2g} GB free in {folder}" if free < _GB else f"{free / _GB:.0f} GB free in {folder}"
    if free < least:
        return Finding(name, "failed", f"{told}: it is full")
    return Finding(name, "ok", told) if free >= enough else Finding(name, "warning", f"{told}: that is little")


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = f"{soft} (may be raised to {hard})" if hard > soft else str(soft)
    if hard < _LEAST_FILES:
        return Finding("open files", "warning", f"{told}: Ray may need {_LEAST_FILES}; the administrators' to raise")
    return Finding("open files", "ok", told)


def parse(text: str) -> list[Finding] | None:
    """The findings that `--json` has printed amid whatever else a node prints; None when there are none."""
    match = re.search(r"^\[\{.*\}\]$", text, re.MULTILINE)
    return [Finding(**told) for told in json.loads(match[0])] if match else None


def main(arguments: list[str] | None = None) -> int:
    """`python -m cluster.doctor`; exit code 1 when something has failed."""
    parser = argparse.ArgumentParser(prog="python -m cluster.doctor")
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    parser.add_argument("--node-local", type=Path, default=Path(os.environ.get("SANPOSE_NODE_LOCAL") or "/tmp"))
    parser.add_argument("--job", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    findings = examine(given.folder, given.node_local, job=given.job)
    if given.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        shown = [f for f in findings if f.status != "ok"] if given.job else findings
        host = os.environ.get("SLURMD_NODENAME") or platform.node()
        print("".join(f"{host}: {f.name}: {f.status}: {f.told}\n" for f in shown), end="", flush=True)
    return 1 if worst(findings) == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
