"""Ask Slurm whether it is well, and one of its nodes whether it can do its part."""

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

NODE_SECONDS = 300.0  # for a free node, then for its answer


def examine_slurm() -> list[Finding]:
    """Whether Slurm and munge answer here; one finding where this machine is no part of a cluster."""
    if not shutil.which("sinfo"):
        return [Finding("Slurm", "warning", "not here: `sanpose submit` works on a cluster's login node")]
    try:
        version = checks.version()
        up = [line for line in commands.ask("scontrol", "ping").splitlines() if " is " in line]
        nodes = checks.nodes()
    except (ClusterError, NotAnsweringError) as error:
        said = f"{error.what}: {error.where or error.expected}" if isinstance(error, ClusterError) else str(error)
        return [Finding("Slurm", "failed", said), _munge()]
    partitions = ", ".join(sorted({node.partition for node in nodes}))
    told = f"{version}; {'; '.join(up)}; {len({node.name for node in nodes})} nodes in {partitions}"
    return [Finding("Slurm", "ok", told), Finding("munge", "ok", "Slurm has taken our credential")]


def _munge() -> Finding:
    """Only asked where Slurm does not answer: to tell the one's fault from the other's."""
    if not shutil.which("munge"):
        return Finding("munge", "failed", "not installed, so Slurm cannot know who you are")
    try:
        commands.ask("munge", "--no-input")
    except NotAnsweringError as error:
        return Finding("munge", "failed", f"{error}; systemctl status munge")
    return Finding("munge", "ok", "answers on this machine")


def examine_node(profile: Profile, python: str, folder: Path, snapshot: Path) -> list[Finding]:
    """What a node of the cluster finds, and whether it sees the shared folder as this machine does.

    folder: of the runs. snapshot: where the code is to be imported from.
    """
    secret = uuid.uuid4().hex
    marker = folder / f".doctor-{secret}"
    try:
        marker.write_text(secret)
    except OSError as error:
        return [Finding("node", "failed", f"not asked: {folder} cannot be written here: {error.strerror}")]
    try:
        return _ask_node(profile, python, folder, snapshot, marker)
    finally:
        marker.unlink(missing_ok=True)


def _ask_node(profile: Profile, python: str, folder: Path, snapshot: Path, marker: Path) -> list[Finding]:
    command = ["srun", "--nodes=1", "--ntasks=1", "--time=10", "--job-name=doctor", "--quiet", *_options(profile)]
    command.append(f"--immediate={NODE_SECONDS - 60:.0f}")  # it gives up before it is killed, and leaves no job waiting
    inner = f'[ -f "$1" ] && echo "sees $1"; shift; export PYTHONPATH="$1"; shift; {_setup(profile)}exec "$@"'
    examined = [python, "-P", "-m", "cluster.doctor", "--json", "--folder", str(folder)]
    command += ["bash", "-c", inner, "bash", str(marker), str(snapshot), *profile.container, *examined]
    command += ["--node-local", profile.node_local]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=NODE_SECONDS)
    except subprocess.TimeoutExpired:
        return [Finding("node", "failed", f"no node has answered within {NODE_SECONDS:g} s: all are busy, or it hangs")]
    except OSError as error:
        return [Finding("node", "failed", f"srun cannot be run: {error.strerror}")]
    found = doctor.parse(done.stdout)
    if found is None:
        said = commands.reason(done.stderr) or f"srun ended with code {done.returncode}"
        return [Finding("node", "failed", f"it has not answered: {said}")]
    sees = f"sees {marker}" in done.stdout.splitlines()
    told = "sees what this machine writes" if sees else f"does not see what this machine writes into {folder}"
    return [Finding("shared folder", "ok" if sees else "failed", told), *found]


def _options(profile: Profile) -> list[str]:
    """Of the profile what chooses the node; of its CPUs and memory a little, so that one is free sooner."""
    gpus = ":".join(filter(None, ("gpu", profile.gpu_type, "1")))
    wanted = [
        ("partition", profile.partition),
        ("account", profile.account),
        ("qos", profile.qos),
        ("constraint", profile.constraint),
        ("gres", gpus if profile.gpus_per_node else ""),
    ]
    return [f"--{name}={value}" for name, value in [*wanted, *profile.extra.items()] if value]


def _setup(profile: Profile) -> str:
    return "".join(f"{line}\n" for line in profile.setup)
