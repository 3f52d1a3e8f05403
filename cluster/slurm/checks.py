"""Checks before a job is submitted, with a clear message for each: Slurm would let an impossible job wait for ever."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError
from cluster.slurm import commands
from cluster.slurm.commands import NotAnsweringError
from cluster.slurm.profiles import nearest
from cluster.slurm.spec import Profile, clock, seconds_of

OLDEST = (22, 5)  # of Slurm
_FORMAT = "%P|%N|%c|%m|%G|%l|%f"


@dataclass(frozen=True)
class Node:
    """A node in one of its partitions, as sinfo shows it. gpus: type ("" for GPUs without a type) -> count; limit: the
    partition's MaxTime in seconds, None without one."""

    partition: str
    default: bool
    name: str
    cpus: int
    megabytes: int
    gpus: dict[str, int]
    limit: int | None
    features: frozenset[str]

    def gpus_of(self, kind: str) -> int:
        return self.gpus.get(kind, 0) if kind else sum(self.gpus.values())


def check(profile: Profile) -> None:
    """Raises ClusterError for a profile that this cluster can never satisfy, or when the cluster does not answer."""
    every_node = nodes()
    version()
    candidates = _partition(profile, every_node)
    _limit(profile, candidates)
    _capacity(profile, candidates)


def nodes() -> list[Node]:
    """Every node of every partition. Raises ClusterError when this machine has no Slurm or Slurm does not answer."""
    if not shutil.which("sbatch"):
        raise ClusterError(
            "sbatch is not on PATH: this machine is not part of a Slurm cluster",
            hint="log in to the cluster's login node; cluster=local runs the command on this machine",
        )
    try:
        lines = commands.ask("sinfo", "--noheader", "--Node", f"--format={_FORMAT}").splitlines()
    except NotAnsweringError as error:
        raise no_answer(str(error)) from error
    return [_node(line) for line in lines]


def version() -> str:
    """Slurm's version. Raises ClusterError for one that is too old."""
    try:
        text = commands.ask("sinfo", "--version")
    except NotAnsweringError as error:
        raise no_answer(str(error)) from error
    match = re.search(r"(\d+)\.(\d+)\S*", text)
    if match and (int(match[1]), int(match[2])) < OLDEST:
        raise ClusterError(f"Slurm {match[0]} is too old", expected=f"{OLDEST[0]}.{OLDEST[1]:02} or newer")
    return match[0] if match else text.strip()


def no_answer(reason: str) -> ClusterError:
    """The error for a cluster that does not answer; names munge where munge is the cause."""
    if "unge" in reason:
        return ClusterError(
            "munge does not answer on this machine, so Slurm cannot know who you are",
            where=reason,
            hint="systemctl status munge; on a login node, ask the administrators",
        )
    return ClusterError(
        "Slurm's controller does not answer", where=reason, hint="scontrol ping; try again when the controller is up"
    )


def check_folders(runs: Path, cwd: Path, node_local: str) -> None:
    """Raises ClusterError when the folder of runs is missing or not writable, when the working directory is gone, or
    when this user cannot write to the nodes' temporary folder on this machine."""
    if not cwd.is_dir():
        raise ClusterError("the working directory is gone", where=cwd, hint="cd to a folder that every node sees")
    if not runs.parent.is_dir():
        raise ClusterError(
            "the parent folder of the folder of runs is missing",
            where=runs.parent,
            expected="a folder on the file system that every node sees",
            hint="runs=/shared/folder/runs; is the file system mounted on this machine?",
        )
    try:
        runs.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=runs):
            pass
    except OSError as error:
        raise ClusterError(f"the folder of runs cannot be written: {error.strerror}", where=runs) from error
    local = Path(node_local)
    if local.exists() and not (local.is_dir() and os.access(local, os.W_OK | os.X_OK)):
        raise ClusterError(
            f"you cannot write to the nodes' temporary folder, which belongs to {owner(local)}",
            where=local,
            hint="cluster.node_local=/tmp, or a folder of your own on the nodes' disks",
        )


def owner(path: Path) -> str:
    """The name of a file's owner, or the user id."""
    number = path.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _node(line: str) -> Node:
    partition, name, cpus, memory, gres, limit, features = line.split("|", 6)
    return Node(
        partition.rstrip("*"),
        partition.endswith("*"),
        name,
        int(cpus.rstrip("+")),
        int(memory.rstrip("+")),
        _gpus(gres),
        seconds_of(limit) if limit[:1].isdigit() else None,
        frozenset(features.strip("()").split(",")),
    )


def _gpus(gres: str) -> dict[str, int]:
    """GPUs of a node by type: "gpu:a100:4(S:0-1),gpu:2,shard:8" -> {"a100": 4, "": 2}."""
    counts: dict[str, int] = {}
    for item in re.sub(r"\([^)]*\)", "", gres).split(","):
        words = item.split(":")
        if words[0] == "gpu" and words[-1].isdigit():
            kind = words[1] if len(words) > 2 else ""
            counts[kind] = counts.get(kind, 0) + int(words[-1])
    return counts


def _partition(profile: Profile, every_node: Sequence[Node]) -> list[Node]:
    """The nodes that the job may get, each once."""
    partitions = sorted({node.partition for node in every_node})
    names = profile.partition.split(",") if profile.partition else [n.partition for n in every_node if n.default][:1]
    if not names:
        raise _cannot(profile, "the profile names no partition, and the cluster has no default", ", ".join(partitions))
    for name in names:
        if name not in partitions:
            raise _cannot(
                profile,
                f"there is no partition '{name}'",
                f"one of: {', '.join(partitions)}",
                nearest(name, partitions),
            )
    return list({node.name: node for node in every_node if node.partition in names}.values())


def _limit(profile: Profile, candidates: Sequence[Node]) -> None:
    limits = [node.limit for node in candidates]
    longest = max((limit for limit in limits if limit is not None), default=0)
    if None not in limits and profile.seconds > longest:
        raise _cannot(
            profile,
            f"time={profile.time} is more than the partition allows",
            f"at most {clock(longest)}",
            f"cluster.time={clock(longest)}",
        )


def _capacity(profile: Profile, candidates: Sequence[Node]) -> None:
    """Refuse more of a resource than any node has, then more nodes than have all the resources together."""
    if profile.nodes > len(candidates):
        raise _cannot(profile, f"nodes={profile.nodes} is more than the partition has", f"at most {len(candidates)}")
    kind = profile.gpu_type
    types = sorted({name for node in candidates for name in node.gpus if name})
    memory = "memory_per_cpu" if profile.memory_per_cpu else "memory_per_node"
    resources = [
        ("gpus_per_node", profile.gpus_per_node, [node.gpus_of(kind) for node in candidates]),
        ("cpus_per_node", profile.cpus_per_node, [node.cpus for node in candidates]),
        (memory, profile.megabytes_per_node, [node.megabytes for node in candidates]),
    ]
    for key, amount, capacities in resources:
        if amount > max(capacities):
            unit = " MB" if key == memory else ""
            if key == "memory_per_cpu":
                unit += f" for the {profile.cpus_per_node} CPUs of a node"
            expected = f"at most {max(capacities)}{unit}"
            expected += f"; types of GPU: {', '.join(types) or 'none named'}" if kind else ""
            raise _cannot(
                profile, f"{key}={getattr(profile, key)} is more than any node of the partition has", expected
            )
    feature = profile.constraint if re.fullmatch(r"\w+", profile.constraint) else ""
    fitting = [
        node
        for number, node in enumerate(candidates)
        if all(amount <= capacities[number] for _, amount, capacities in resources)
        and (not feature or feature in node.features)
    ]
    if profile.nodes > len(fitting):
        raise _cannot(
            profile,
            f"nodes={profile.nodes} is more than the nodes that have all requested resources",
            f"at most {len(fitting)} of the partition's {len(candidates)} nodes",
        )


def _cannot(profile: Profile, what: str, expected: str, hint: str | None = None) -> ClusterError:
    partition = f", partition {profile.partition}" if profile.partition else ""
    return ClusterError(what, where=f"cluster profile {profile.name}{partition}", expected=expected, hint=hint)
