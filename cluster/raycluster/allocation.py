"""A job's allocation, read from its environment: the nodes, and the CPUs, GPUs and memory on each node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cluster.errors import ClusterError


@dataclass(frozen=True)
class Allocation:
    """A job as its batch script sees it. restarts: how often Slurm has requeued the job."""

    job_id: str
    nodes: tuple[str, ...]
    restarts: int
    partition: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Allocation:
        """Read the variables of an sbatch script or an salloc shell. Raises ClusterError outside a job."""
        if "SLURM_JOB_ID" not in environment:
            raise ClusterError(
                "this is not a Slurm job",
                expected="SLURM_JOB_ID and SLURM_JOB_NODELIST in the environment",
                hint="sbatch slurm/train.sbatch, or `sanpose train` for this machine alone",
            )
        return cls(
            environment["SLURM_JOB_ID"],
            tuple(expand(environment["SLURM_JOB_NODELIST"])),
            int(environment.get("SLURM_RESTART_COUNT", 0)),
            environment.get("SLURM_JOB_PARTITION", ""),
        )


@dataclass(frozen=True)
class Share:
    """A job's part of one node. memory: in bytes; None where Slurm does not limit it."""

    cpus: int
    gpus: int
    memory: int | None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Share:
        """Read the variables of a job step on this node."""
        cpus = int(environment["SLURM_CPUS_ON_NODE"])
        visible = environment.get("CUDA_VISIBLE_DEVICES", "")
        gpus = int(environment.get("SLURM_GPUS_ON_NODE") or len([d for d in visible.split(",") if d]))
        megabytes = None
        if environment.get("SLURM_MEM_PER_NODE", "0") != "0":
            megabytes = int(environment["SLURM_MEM_PER_NODE"])
        elif environment.get("SLURM_MEM_PER_CPU", "0") != "0":
            megabytes = int(environment["SLURM_MEM_PER_CPU"]) * cpus
        return cls(cpus, gpus, megabytes * 2**20 if megabytes else None)


def expand(names: str) -> list[str]:
    """The nodes of a Slurm host list: "a[1-3,07],b" -> a1 a2 a3 a07 b. Raises ClusterError for any other text."""
    items = re.findall(r"(?:[^,\[\]]|\[[\d,-]+\])+", names)
    if ",".join(items) != names:
        raise ClusterError(f"'{names}' is not a Slurm host list", expected="such as node[1-3,7]")
    return [host for item in items for host in _expand_item(item)]


def _expand_item(item: str) -> list[str]:
    match = re.fullmatch(r"([^\[\]]*)\[([\d,-]+)\](.*)", item)
    if not match:
        return [item]
    before, ranges, after = match.groups()
    hosts = []
    for part in ranges.split(","):
        low, _, high = part.partition("-")
        for number in range(int(low), int(high or low) + 1):
            hosts += [f"{before}{number:0{len(low)}d}{suffix}" for suffix in _expand_item(after)]
    return hosts
