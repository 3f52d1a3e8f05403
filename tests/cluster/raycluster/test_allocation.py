"""What Slurm's variables say of a job and of its share of a node."""

from __future__ import annotations

import pytest

from cluster.errors import ClusterError
from cluster.raycluster.allocation import Allocation, Share, expand


@pytest.mark.parametrize(
    ("names", "hosts"),
    [
        ("node1", ["node1"]),
        ("node[1-3]", ["node1", "node2", "node3"]),
        ("gpu[08-10,12],login", ["gpu08", "gpu09", "gpu10", "gpu12", "login"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("a[1]-ib,b-[2-3]", ["a1-ib", "b-2", "b-3"]),
    ],
)
def test_host_lists(names: str, hosts: list[str]) -> None:
    assert expand(names) == hosts


@pytest.mark.parametrize("names", ["node[1-", "node[a-b]"])
def test_what_is_no_host_list(names: str) -> None:
    with pytest.raises(ClusterError, match="not a Slurm host list"):
        expand(names)


def test_a_job() -> None:
    job = Allocation.of(
        {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_RESTART_COUNT": "2", "SLURM_JOB_PARTITION": "gpu"}
    )
    assert job == Allocation("7", ("n1", "n2"), 2, "gpu")


def test_outside_a_job_it_is_said_how_to_get_one() -> None:
    with pytest.raises(ClusterError, match=r"sbatch slurm/train\.sbatch"):
        Allocation.of({})


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({"SLURM_CPUS_ON_NODE": "8"}, Share(8, 0, None)),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_CPU": "100"}, Share(8, 0, 800 * 2**20)),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_NODE": "4000"}, Share(8, 0, 4000 * 2**20)),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_NODE": "0"}, Share(8, 0, None)),
        ({"SLURM_CPUS_ON_NODE": "2", "SLURM_GPUS_ON_NODE": "4"}, Share(2, 4, None)),
        ({"SLURM_CPUS_ON_NODE": "2", "CUDA_VISIBLE_DEVICES": "0,2"}, Share(2, 2, None)),
    ],
)
def test_a_share_of_a_node(environment: dict[str, str], share: Share) -> None:
    assert Share.of(environment) == share
