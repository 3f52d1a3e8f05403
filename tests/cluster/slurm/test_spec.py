"""Profiles: which values are valid, how the others are refused, from YAML and from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterError
from cluster.slurm import profiles
from cluster.slurm.spec import JobSpec, Profile, clock, megabytes, seconds_of

SHIPPED = Path(__file__).parents[3] / "configs" / "cluster"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_profiles_can_be_used(path: Path) -> None:
    profile = profiles.read(path.stem, SHIPPED)
    assert profile.name == path.stem
    assert profile.seconds >= 3600
    assert profile.requeue


def test_three_profiles_are_shipped() -> None:
    assert sorted(path.stem for path in SHIPPED.glob("*.yaml")) == ["cpu", "gpu", "preemptible"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 5400), ("2:30", 150), ("1:00:00", 3600), ("2-12", 216000), ("1-02:30", 95400), ("1-00:00:01", 86401)],
)
def test_times_in_all_of_slurm_s_forms(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


def test_a_clock_is_read_back() -> None:
    assert [clock(s) for s in (61, 3600, 90000)] == ["0:01:01", "1:00:00", "1-01:00:00"]
    assert all(seconds_of(clock(s)) == s for s in (0, 59, 61, 86399, 86400, 10**7))


def test_memory_in_megabytes() -> None:
    assert [megabytes(t) for t in ("512M", "64G", "1T", "64GB", "0", "")] == [512, 65536, 1048576, 65536, 0, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nodes": 0}, "nodes=0 is not valid"),
        ({"gpus_per_node": -1}, "gpus_per_node=-1"),
        ({"gpu_type": "a100"}, "also gpus_per_node above 0"),
        ({"cpus_per_node": 0}, "1 or more"),
        ({"memory_per_node": "64"}, "such as 64G"),
        ({"memory_per_cpu": "0"}, "such as 4G"),
        ({"memory_per_cpu": "4G", "memory_per_node": "64G"}, "memory_per_cpu or memory_per_node, not both"),
        ({"extra": {"mem-per-cpu": "4G"}}, "the profile's key memory_per_cpu"),
        ({"time": "2:00"}, "Slurm reads it as minutes and seconds"),
        ({"time": "90"}, "time=90:00:00"),
        ({"time": "soon"}, "H:MM:SS"),
        ({"time": ""}, "H:MM:SS"),
        ({"time": "0:06:00"}, "at least 0:07:00"),
        ({"time": "0:06:00", "warning_seconds": 600}, "at least 0:12:00"),
        ({"warning_seconds": 0}, "1 to 65535"),
        ({"partition": "gpu\n#SBATCH --uid=0"}, "the name of a partition"),
        ({"constraint": "a\nb"}, "features"),
        ({"mail_events": ("END",)}, "also mail_user"),
        ({"mail_user": "me@x.org", "mail_events": ("ENDE",)}, "BEGIN, END"),
        ({"node_local": "scratch"}, "an absolute path"),
        ({"extra": {"nodes": "3"}}, "the profile's key nodes"),
        ({"extra": {"output": "x"}}, "the job script already sets --output"),
        ({"extra": {"Reservation": "x"}}, "not an option of sbatch"),
        ({"extra": {"comment": "a\nb"}}, "not an option of sbatch"),
    ],
)
def test_what_cannot_be_used(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ClusterError) as error:
        Profile("mine", **values)
    assert message in str(error.value)
    assert "mine" in str(error.value)


def test_a_whole_node_needs_no_number_of_cpus() -> None:
    assert Profile("x", exclusive=True, cpus_per_node=0).cpus_per_node == 0


def job(**values: Any) -> JobSpec:
    place = {"folder": Path("/f"), "cwd": Path("/w"), "profile": Profile("x"), "snapshot": None}
    return JobSpec(**{"name": "a", "command": ("/bin/true",), **place, "python": "/bin/python", **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "../a"}, "not a valid job name"),
        ({"name": ""}, "not a valid job name"),
        ({"command": ()}, "no command"),
        ({"folder": Path("runs/jobs/a")}, "relative"),
        ({"folder": Path("/runs/50%j/a")}, "Slurm would change"),
        ({"cwd": Path("/a\nb")}, "Slurm would change"),
        ({"snapshot": Path("code")}, "relative"),
        ({"command": ("a\0b",)}, "null character"),
    ],
)
def test_jobs_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        job(**values)


def write(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text)
    return str(folder / "mine.yaml")


def test_yaml_is_read_as_text_and_typed_by_the_key(tmp_path: Path) -> None:
    text = "time: 2:00:00\naccount: 00123\nnodes: 2\nrequeue: false\nsetup: |\n  module load cuda\n  export A='b c'\n"
    profile = profiles.read(write(tmp_path, text + "container: apptainer exec 'my image.sif'\n"), SHIPPED)
    assert (profile.time, profile.account, profile.nodes, profile.requeue) == ("2:00:00", "00123", 2, False)
    assert profile.setup == ("module load cuda", "export A='b c'")
    assert profile.container == ("apptainer", "exec", "my image.sif")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node: 2", "did you mean 'nodes'?"),
        ("nodes: two", "a whole number"),
        ("requeue: yes", "true or false"),
        ("time: [1, 2]", "time=['1', '2'] has the wrong type"),
        ("setup: {a: b}", "text, or a list of texts"),
        ("extra: [a]", "a group of keys and texts"),
        ("extra: {a: [b]}", "extra.a has the wrong type"),
        ("container: 'a b", "cannot be read"),
        ('container: "a \'b"', "container is not a command"),
        ("- a", "not a mapping"),
    ],
)
def test_bad_yaml(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ClusterError) as error:
        profiles.read(write(tmp_path, text), SHIPPED)
    assert message in str(error.value)
    assert "mine" in str(error.value)


def test_overrides() -> None:
    overrides = ["cluster.nodes=4", "cluster.time=2:00:00", "cluster.setup=[module load a, b=c]", "cluster.account="]
    profile = profiles.read("gpu", SHIPPED, [*overrides, "cluster.extra.reservation=course"])
    assert (profile.nodes, profile.time, profile.setup) == (4, "2:00:00", ("module load a", "b=c"))
    assert (profile.account, profile.extra) == ("", {"reservation": "course"})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cluster.node=4", "did you mean 'nodes'?"),
        ("cluster.nodes", "not an override"),
        ("cluster.nodes.x=1", "no keys of its own"),
        ("cluster.setup=[a", "cannot be read as YAML"),
        ("cluster.name=x", "'name' is not a key"),
    ],
)
def test_bad_overrides(override: str, message: str) -> None:
    with pytest.raises(ClusterError) as error:
        profiles.read("gpu", SHIPPED, [override])
    assert message in str(error.value)


def test_a_cluster_that_is_not_there() -> None:
    with pytest.raises(ClusterError, match="did you mean 'gpu'"):
        profiles.read("gpuu", SHIPPED)
    with pytest.raises(ClusterError, match="no cluster is named"):
        profiles.read("", SHIPPED)


def test_this_machine_has_no_settings() -> None:
    assert profiles.read("local", SHIPPED).name == "local"
    with pytest.raises(ClusterError, match="cluster=local has no settings"):
        profiles.read("local", SHIPPED, ["cluster.nodes=2"])


def test_plain_data_and_back() -> None:
    values = {"container": "a 'b c'", "setup": ["x"], "mail_user": "me@x.org", "mail_events": ["END"], "nodes": "3"}
    profile = profiles.from_plain({"name": "mine", **values, "extra": {"qos-x": ""}})
    assert profiles.from_plain(profiles.to_plain(profile)) == profile
