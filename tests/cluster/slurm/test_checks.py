"""What can be known before a submission is reported before it, with one clear message each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterError
from cluster.slurm.checks import check, check_folders, nodes
from cluster.slurm.commands import ask
from cluster.slurm.spec import Profile
from tests.cluster.fakes import Commands, commands

__all__ = ["commands"]
SINFO = """\
gpu*|g1|32|128000|gpu:a100:4(S:0-1)|2-00:00:00|ib,nvme
gpu*|g2|32|128000|gpu:a100:4(S:0,2),shard:16|2-00:00:00|ib
gpu*|g3|64|512000|gpu:h100:8|2-00:00:00|(null)
cpu|g1|32|128000|gpu:a100:4(S:0-1)|infinite|ib,nvme
cpu|c1|128+|256000+|(null)|infinite|(null)
"""


@pytest.fixture
def cluster(commands: Commands) -> Commands:
    text = SINFO.replace("\n", "\\n")
    commands.put("sinfo", f'case "$1" in --version) echo slurm 23.11.4;; *) printf "{text}";; esac')
    commands.put("sbatch", "exit 1")
    return commands


def test_what_sinfo_says(cluster: Commands) -> None:
    g1, g2, g3, _, c1 = nodes()
    assert (g1.partition, g1.default, g1.cpus, g1.megabytes, g1.limit) == ("gpu", True, 32, 128000, 172800)
    assert (g1.gpus, g2.gpus, g3.gpus, c1.gpus) == ({"a100": 4}, {"a100": 4}, {"h100": 8}, {})
    assert (c1.default, c1.cpus, c1.limit) == (False, 128, None)
    assert g1.features == {"ib", "nvme"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"partition": "gpu", "nodes": 3, "gpus_per_node": 4, "time": "2-00:00:00"},
        {"partition": "gpu", "gpus_per_node": 8, "gpu_type": "h100", "cpus_per_node": 64, "memory_per_node": "500G"},
        {"partition": "cpu", "time": "30-00:00:00", "cpus_per_node": 128},
        {"partition": "gpu,cpu", "nodes": 4},
        {"partition": "gpu", "nodes": 2, "constraint": "ib"},
        {"partition": "gpu", "memory_per_cpu": "8G", "cpus_per_node": 60},
        {"partition": "gpu", "nodes": 3, "constraint": "ib|nvme"},  # left to Slurm
    ],
)
def test_what_the_cluster_can_give(cluster: Commands, values: dict[str, Any]) -> None:
    check(Profile("mine", **values))


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"partition": "gpus"}, ["no partition 'gpus'", "cpu, gpu", "did you mean 'gpu'?"]),
        ({"partition": "gpu,big"}, ["no partition 'big'"]),
        ({"partition": "gpu", "nodes": 4}, ["nodes=4 is more than the partition has", "at most 3"]),
        ({"nodes": 4}, ["at most 3"]),  # of the default partition
        ({"partition": "gpu", "time": "3-00:00:00"}, ["more than the partition allows", "cluster.time=2-00:00:00"]),
        ({"partition": "gpu", "gpus_per_node": 9}, ["gpus_per_node=9", "at most 8"]),
        ({"partition": "gpu", "gpus_per_node": 8, "gpu_type": "a100"}, ["at most 4", "a100, h100"]),
        ({"partition": "gpu", "gpus_per_node": 1, "gpu_type": "v100"}, ["at most 0", "a100, h100"]),
        ({"partition": "gpu", "cpus_per_node": 65}, ["cpus_per_node=65", "at most 64"]),
        (
            {"partition": "gpu", "memory_per_cpu": "10G", "cpus_per_node": 60},
            ["memory_per_cpu=10G", "at most 512000 MB for the 60 CPUs of a node"],
        ),
        ({"partition": "gpu", "memory_per_node": "501G"}, ["memory_per_node=501G", "at most 512000 MB"]),
        ({"partition": "gpu", "nodes": 2, "gpus_per_node": 8}, ["all requested resources", "1 of the partition's 3"]),
        ({"partition": "gpu", "nodes": 2, "constraint": "nvme"}, ["at most 1"]),
    ],
)
def test_what_the_cluster_can_never_give(cluster: Commands, values: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ClusterError) as error:
        check(Profile("mine", **values))
    assert all(part in str(error.value) for part in parts), str(error.value)
    assert "mine" in str(error.value)
    assert cluster.calls("sbatch") == []


def test_no_default_partition(cluster: Commands) -> None:
    cluster.put(
        "sinfo", 'case "$1" in --version) echo slurm 23.11.4;; *) echo "gpu|g1|1|1|(null)|infinite|(null)";; esac'
    )
    with pytest.raises(ClusterError, match="no default"):
        check(Profile("mine"))


@pytest.mark.parametrize(
    ("version", "old"), [("slurm-wlm 22.05.8", False), ("slurm 21.08.6", True), ("slurm 25.05.1", False)]
)
def test_an_old_slurm(cluster: Commands, version: str, old: bool) -> None:
    text = SINFO.replace("\n", "\\n")
    cluster.put("sinfo", f'case "$1" in --version) echo {version};; *) printf "{text}";; esac')
    if old:
        with pytest.raises(ClusterError, match=r"Slurm 21\.08\.6 is too old"):
            check(Profile("mine"))
    else:
        check(Profile("mine"))


def test_no_slurm_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ClusterError, match="sbatch is not on PATH"):
        check(Profile("mine"))


@pytest.mark.parametrize(
    ("complaint", "message"),
    [
        ("slurm_load_partitions: Unable to contact slurm controller (connect failure)", "controller does not answer"),
        (
            "sinfo: error: If munged is up, restart with --num-threads=10\n"
            'sinfo: error: Munge encode failed: Failed to access "/run/munge/munge.socket.2": No such file\n'
            "sinfo: error: slurm_send_node_msg: auth_g_create: REQUEST_PARTITION_INFO has authentication error\n"
            "slurm_load_partitions: Protocol authentication error",
            "munge does not answer",
        ),
    ],
)
def test_who_does_not_answer(commands: Commands, complaint: str, message: str) -> None:
    commands.put("sbatch", "exit 1")
    commands.prints("sinfo", "", 1, complaint + "\n")
    with pytest.raises(ClusterError, match=message):
        check(Profile("mine"))


def test_a_controller_that_hangs(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.put("sbatch", "exit 1")
    commands.put("sinfo", "exec sleep 60")
    monkeypatch.setattr(ask, "__kwdefaults__", {"seconds": 0.2})
    with pytest.raises(ClusterError, match="not answered within"):
        check(Profile("mine"))


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folders(tmp_path / "runs", tmp_path, str(tmp_path))
    assert (tmp_path / "runs").is_dir()
    assert list((tmp_path / "runs").iterdir()) == []
    with pytest.raises(ClusterError, match=r"is missing[\s\S]*mounted on this machine"):
        check_folders(tmp_path / "shared" / "runs", tmp_path, "/tmp")
    with pytest.raises(ClusterError, match="working directory is gone"):
        check_folders(tmp_path / "runs", tmp_path / "gone", "/tmp")
    (tmp_path / "file").touch()
    with pytest.raises(ClusterError, match="cannot be written"):
        check_folders(tmp_path / "file", tmp_path, "/tmp")
    with pytest.raises(ClusterError, match="cannot write to the nodes' temporary folder"):
        check_folders(tmp_path / "runs", tmp_path, str(tmp_path / "file"))
    check_folders(tmp_path / "runs", tmp_path, "/not/on/this/machine")
