"""Check whether a machine can run a job: Python, packages, the accelerator, memory, disks, limits.

`python -m cluster.doctor --job --folder DIR` runs on a node before a job starts; `--json` prints the findings for
another machine. The checks are independent, and a check that breaks is a finding of its own.
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
TORCH_SECONDS = 180  # the import reads a gigabyte, often from a shared file system
_LEAST_FILES = 4096  # Ray recommends 65536; small clusters need fewer
_LONGEST_LOCAL = 43 - len("/sp-12345678")  # Ray's sockets are below; their paths may have 107 bytes
TORCH_SCRIPT = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(json.dumps([torch.__version__, torch.version.cuda, count, torch.cuda.get_device_name(0) if count else ""]))
"""


@dataclass(frozen=True)
class Finding:
    """The result of one check. message: one line; says what to do where the status is not ok."""

    name: str
    status: Status
    message: str


def examine(folder: Path, node_local: Path, *, job: bool = False) -> list[Finding]:
    """Every check on this machine. folder: the folder of runs. job: only the checks that a node needs before a job
    starts; they take less than a second on a machine without a GPU."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", _python),
        ("runs", lambda: _shared(folder)),
        ("temporary folder", lambda: _local(node_local)),
        ("shared memory", _memory),
        ("open files", check_files),
    ]
    if not job:
        checks.insert(1, ("packages", check_packages))
    if not job or (_allotted() and has_driver()):
        checks.insert(2, ("torch", check_torch))
    return [_run(name, check) for name, check in checks]


def worst(findings: list[Finding]) -> Status:
    """The worst status of all findings."""
    statuses = {finding.status for finding in findings}
    return "failed" if "failed" in statuses else "warning" if "warning" in statuses else "ok"


def _run(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # one check that breaks must not hide the others
        return Finding(name, "failed", f"the check itself failed: {type(error).__name__}: {error}")


def _python() -> Finding:
    version = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("Python", "failed", f"{version}; 3.11 or newer is needed")
    return Finding("Python", "ok", version)


def check_packages() -> Finding:
    """Compare the installed packages with the requirements of the distribution that contains this code."""
    from packaging.requirements import Requirement

    owners = importlib.metadata.packages_distributions().get("cluster", [])
    if not owners:
        return Finding("packages", "warning", "this code is not installed as a package, so versions are not checked")
    problems, count = [], 0
    for text in importlib.metadata.requires(owners[0]) or []:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if problems:
        return Finding("packages", "failed", f"{'; '.join(problems)}; pip install -c constraints.txt -e .")
    return Finding("packages", "ok", f"all {count} requirements of {owners[0]} are met")


def check_torch() -> Finding:
    """Import torch in a process of its own, as a broken driver can hang or kill that process."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", TORCH_SCRIPT], capture_output=True, text=True, timeout=TORCH_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Finding("torch", "failed", f"the import took more than {TORCH_SECONDS} s: the driver or the disk hangs")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        return Finding("torch", "failed", f"torch cannot be imported: {last}")
    version, cuda, count, name = json.loads(done.stdout.strip().splitlines()[-1])
    summary = f"{version}, {f'{count} x {name}' if count else 'no GPU'}"
    allotted = _allotted()
    if allotted > count and has_driver():
        why = f"torch is built for CUDA {cuda}" if cuda else "torch is built without CUDA"
        return Finding(
            "torch", "failed", f"{summary}, but this job has {allotted} and NVIDIA's driver is installed; {why}"
        )
    if allotted > count:
        return Finding("torch", "warning", f"{summary}, but this job has {allotted}: NVIDIA's driver is missing")
    if not allotted and not count and has_driver():
        return Finding("torch", "warning", f"{summary}, but NVIDIA's driver is installed")
    return Finding("torch", "ok", summary)


def _allotted() -> int:
    """The number of GPUs that this job has on this node."""
    text = os.environ.get("SLURM_GPUS_ON_NODE", "")
    return int(text) if text.isdecimal() else 0


def has_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists()


def _memory() -> Finding:
    shm = Path("/dev/shm")
    if not shm.is_dir() or not os.access(shm, os.W_OK):
        return Finding("shared memory", "failed", f"{shm} is missing or not writable; Ray stores its objects there")
    usage = shutil.disk_usage(shm)
    room = f"{usage.free / _GB:.1f} of {usage.total / _GB:.1f} GB free in {shm}"
    if usage.free < _GB / 2:
        return Finding("shared memory", "warning", f"{room}: Ray will use the disk; in a container, set --shm-size")
    return Finding("shared memory", "ok", room)


def _shared(folder: Path) -> Finding:
    """Write, read and remove a file: a mounted file system can still be read-only, stale or full."""
    if not folder.is_dir():
        return Finding("runs", "failed", f"{folder} does not exist: is the shared file system mounted?")
    name = folder / f".doctor-{uuid.uuid4().hex}"
    try:
        name.write_text(name.name)
        same = name.read_text() == name.name
        name.unlink()
    except OSError as error:
        return Finding("runs", "failed", f"{folder} is not writable: {error.strerror}")
    if not same:
        return Finding("runs", "failed", f"{folder}: a file reads differently from what was written")
    return _room("runs", folder, least=_GB // 16, enough=10 * _GB)


def _local(folder: Path) -> Finding:
    name = "temporary folder"
    if not folder.is_dir():
        return Finding(name, "failed", f"{folder} is not a folder on this machine; cluster.node_local=/tmp")
    if len(str(folder)) > _LONGEST_LOCAL:
        return Finding(
            name, "failed", f"{folder} has more than {_LONGEST_LOCAL} characters, too many for Ray's sockets"
        )
    try:
        with tempfile.TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        return Finding(name, "failed", f"{folder}, which belongs to {owner(folder)}, is not writable: {error.strerror}")
    return _room(name, folder, least=_GB // 16, enough=2 * _GB)


def _room(name: str, folder: Path, *, least: int, enough: int) -> Finding:
    free = shutil.disk_usage(folder).free
    room = f"{free / _GB:.2g} GB free in {folder}" if free < _GB else f"{free / _GB:.0f} GB free in {folder}"
    if free < least:
        return Finding(name, "failed", f"{room}: the disk is full")
    return Finding(name, "ok", room) if free >= enough else Finding(name, "warning", f"{room}: little space")


def check_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = f"{soft} (may be raised to {hard})" if hard > soft else str(soft)
    if hard < _LEAST_FILES:
        return Finding("open files", "warning", f"{limits}: Ray may need {_LEAST_FILES}; ask the administrators")
    return Finding("open files", "ok", limits)


def parse(text: str) -> list[Finding] | None:
    """The findings that `--json` has printed, among other output of a node; None when there are none."""
    match = re.search(r"^\[\{.*\}\]$", text, re.MULTILINE)
    return [Finding(**finding) for finding in json.loads(match[0])] if match else None


def main(arguments: list[str] | None = None) -> int:
    """`python -m cluster.doctor`; exit code 1 when a check failed."""
    parser = argparse.ArgumentParser(prog="python -m cluster.doctor")
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    parser.add_argument("--node-local", type=Path, default=Path(os.environ.get("SANPOSE_NODE_LOCAL") or "/tmp"))
    parser.add_argument("--job", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    findings = examine(options.folder, options.node_local, job=options.job)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        shown = [f for f in findings if f.status != "ok"] if options.job else findings
        host = os.environ.get("SLURMD_NODENAME") or platform.node()
        print("".join(f"{host}: {f.name}: {f.status}: {f.message}\n" for f in shown), end="", flush=True)
    return 1 if worst(findings) == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
