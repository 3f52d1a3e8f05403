"""Check whether Slurm works, and whether one of its nodes can run a job."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from pathlib import Path

from cluster import doctor
from cluster.doctor import Finding
from cluster.errors import ClusterError
from cluster.slurm import checks, commands
from cluster.slurm.commands import NotAnsweringError
from cluster.slurm.spec import Profile

NODE_SECONDS = 300.0  # to get a free node and its answer


def examine_slurm() -> list[Finding]:
    """Whether Slurm and munge answer on this machine; one finding where this machine is not part of a cluster."""
    if not shutil.which("sinfo"):
        return [Finding("Slurm", "warning", "not installed: `sanpose submit` works on a cluster's login node")]
    try:
        version = checks.version()
        up = [line for line in commands.ask("scontrol", "ping").splitlines() if " is " in line]
        nodes = checks.nodes()
    except (ClusterError, NotAnsweringError) as error:
        reason = f"{error.what}: {error.where or error.expected}" if isinstance(error, ClusterError) else str(error)
        return [Finding("Slurm", "failed", reason), _munge()]
    partitions = ", ".join(sorted({node.partition for node in nodes}))
    summary = f"{version}; {'; '.join(up)}; {len({node.name for node in nodes})} nodes in {partitions}"
    return [Finding("Slurm", "ok", summary), Finding("munge", "ok", "Slurm accepted this user's credential")]


def _munge() -> Finding:
    """Called only where Slurm does not answer: shows whether munge is the cause."""
    if not shutil.which("munge"):
        return Finding("munge", "failed", "not installed, so Slurm cannot know who you are")
    try:
        commands.ask("munge", "--no-input")
    except NotAnsweringError as error:
        return Finding("munge", "failed", f"{error}; systemctl status munge")
    return Finding("munge", "ok", "answers on this machine")


def examine_node(profile: Profile, python: str, folder: Path, snapshot: Path) -> list[Finding]:
    """The findings of a node of the cluster, and whether the node sees the shared folder as this machine does.

    folder: the folder of runs. snapshot: where the node imports the code from.
    """
    secret = uuid.uuid4().hex
    marker = folder / f".doctor-{secret}"
    try:
        marker.write_text(secret)
    except OSError as error:
        return [Finding("node", "failed", f"not checked: {folder} is not writable on this machine: {error.strerror}")]
    try:
        return _examine_from(profile, python, folder, snapshot, marker)
    finally:
        marker.unlink(missing_ok=True)


def _examine_from(profile: Profile, python: str, folder: Path, snapshot: Path, marker: Path) -> list[Finding]:
    command = ["srun", "--nodes=1", "--ntasks=1", "--time=10", "--job-name=doctor", "--quiet", *_options(profile)]
    command.append(
        f"--immediate={NODE_SECONDS - 60:.0f}"
    )  # srun must give up before the timeout kills it, or its job would stay in the queue
    inner = f'[ -f "$1" ] && echo "sees $1"; shift; export PYTHONPATH="$1"; shift; {_setup(profile)}exec "$@"'
    examine = [python, "-P", "-m", "cluster.doctor", "--json", "--folder", str(folder)]
    command += ["bash", "-c", inner, "bash", str(marker), str(snapshot), *profile.container, *examine]
    command += ["--node-local", profile.node_local]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=NODE_SECONDS)
    except subprocess.TimeoutExpired:
        return [
            Finding("node", "failed", f"no node answered within {NODE_SECONDS:g} s: all nodes are busy, or one hangs")
        ]
    except OSError as error:
        return [Finding("node", "failed", f"srun cannot be run: {error.strerror}")]
    findings = doctor.parse(done.stdout)
    if findings is None:
        reason = commands.reason(done.stderr) or f"srun ended with code {done.returncode}"
        return [Finding("node", "failed", f"the node did not answer: {reason}")]
    sees = f"sees {marker}" in done.stdout.splitlines()
    message = "the node " + ("sees" if sees else "does not see") + f" what this machine writes into {folder}"
    return [Finding("shared folder", "ok" if sees else "failed", message), *findings]


def _options(profile: Profile) -> list[str]:
    """The options of the profile that choose the node. Without its CPUs and memory, so that a node is free sooner."""
    gpus = ":".join(filter(None, ("gpu", profile.gpu_type, "1")))
    options = [
        ("partition", profile.partition),
        ("account", profile.account),
        ("qos", profile.qos),
        ("constraint", profile.constraint),
        ("gres", gpus if profile.gpus_per_node else ""),
    ]
    return [f"--{name}={value}" for name, value in [*options, *profile.extra.items()] if value]


def _setup(profile: Profile) -> str:
    return "".join(f"{line}\n" for line in profile.setup)
