"""The checks of a machine and of a node give findings, never exceptions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from cluster import doctor, doctor_slurm
from cluster.doctor import Finding, examine, main, parse, worst
from cluster.slurm.spec import Profile
from tests.cluster.fakes import Commands, commands
from tests.slurmlab.lab import Lab

__all__ = ["commands"]
REPOSITORY = Path(__file__).parents[2]
_Usage = namedtuple("_Usage", "total used free")


def findings_of(folder: Path, local: Path = Path("/tmp")) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(folder, local, job=True)}


def test_a_sound_machine(tmp_path: Path) -> None:
    findings = findings_of(tmp_path)
    assert list(findings) == ["Python", "runs", "temporary folder", "shared memory", "open files"]
    assert findings["Python"].status == "ok"
    assert platform.python_version() in findings["Python"].message
    assert findings["runs"].status in ("ok", "warning")
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_what_is_installed() -> None:
    assert doctor.check_packages().status == "ok"


def test_packages_that_are_missing_or_old(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = [
        "numpy>=9999",
        "no-such-package>=1",
        "click",
        'pytest-nothing; extra == "dev"',
        "nothing; sys_platform == 'x'",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: needs)
    finding = doctor.check_packages()
    assert finding.status == "failed"
    assert "is not >=9999" in finding.message
    assert "no-such-package is missing" in finding.message
    assert "nothing" not in finding.message
    assert "click" not in finding.message


def test_a_missing_shared_folder(tmp_path: Path) -> None:
    finding = findings_of(tmp_path / "shared")["runs"]
    assert finding.status == "failed"
    assert "is the shared file system mounted?" in finding.message


@pytest.mark.parametrize(("free", "status"), [(10**7, "failed"), (5 * 2**30, "warning"), (10**12, "ok")])
def test_room_on_the_shared_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(10**13, 0, free))
    assert findings_of(tmp_path)["runs"].status == status


@pytest.mark.parametrize(
    ("local", "message"),
    [
        ("/nowhere", "not a folder on this machine"),
        ("/proc/self", "not writable"),
        ("/tmp/" + "x" * 40, "not a folder"),
    ],
)
def test_a_temporary_folder_that_cannot_be_used(tmp_path: Path, local: str, message: str) -> None:
    finding = findings_of(tmp_path, Path(local))["temporary folder"]
    assert finding.status == "failed"
    assert message in finding.message


def test_a_temporary_folder_with_too_long_a_name(tmp_path: Path) -> None:
    (tmp_path / ("x" * 40)).mkdir()
    assert "too many for Ray's sockets" in findings_of(tmp_path, tmp_path / ("x" * 40))["temporary folder"].message


def test_little_shared_memory_and_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(2**26, 0, 2**26))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    findings = findings_of(tmp_path)
    assert [findings[name].status for name in ("shared memory", "open files")] == ["warning", "warning"]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 524288))
    assert findings_of(tmp_path)["open files"].status == "ok"


def torch(monkeypatch: pytest.MonkeyPatch, output: object, *, driver: bool, allotted: str, code: int = 0) -> Finding:
    """The finding where the import of torch prints this."""
    monkeypatch.setattr(doctor, "has_driver", lambda: driver)
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", allotted)
    lines = ["import sys", "print('noise')", f"print({json.dumps(output)!r})", "print('no libcuda', file=sys.stderr)"]
    monkeypatch.setattr(doctor, "TORCH_SCRIPT", "; ".join([*lines, f"sys.exit({code})"]))
    return doctor.check_torch()


CPU, GPU = ["2.14.1+cpu", None, 0, ""], ["2.14.1+cu130", "13.0", 2, "A100"]


def test_gpus_that_torch_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch(monkeypatch, GPU, driver=True, allotted="2") == Finding("torch", "ok", "2.14.1+cu130, 2 x A100")
    assert torch(monkeypatch, CPU, driver=False, allotted="").status == "ok"
    assert torch(monkeypatch, CPU, driver=True, allotted="").status == "warning"
    assert torch(monkeypatch, CPU, driver=False, allotted="2").status == "warning"
    blind = torch(monkeypatch, CPU, driver=True, allotted="2")
    assert (blind.status, "built without CUDA" in blind.message) == ("failed", True)
    assert torch(monkeypatch, GPU, driver=True, allotted="4").status == "failed"
    broken = torch(monkeypatch, GPU, driver=True, allotted="2", code=1)
    assert broken == Finding("torch", "failed", "torch cannot be imported: no libcuda")


def test_an_import_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TORCH_SCRIPT", "import time; time.sleep(60)")
    monkeypatch.setattr(doctor, "TORCH_SECONDS", 0.3)
    assert "more than 0.3 s" in doctor.check_torch().message


def test_a_check_that_breaks_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Finding:
        raise RuntimeError("surprise")

    monkeypatch.setattr(doctor, "check_files", broken)
    findings = findings_of(tmp_path)
    assert findings["open files"].message == "the check itself failed: RuntimeError: surprise"
    assert findings["Python"].status == "ok"


def test_before_a_job_only_what_is_wrong_is_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "cluster.doctor", "--job", "--folder"]
    environment = {**os.environ, "SLURMD_NODENAME": "node7"}
    done = subprocess.run([*command, str(tmp_path / "gone")], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "node7: runs: failed: " in done.stdout
    assert "Python" not in done.stdout


def test_as_json_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--job", "--json", "--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert parse(f"Welcome to node7!\n{printed}bye\n") == examine(tmp_path, Path("/tmp"), job=True)
    assert parse("bash: python: not found") is None


def test_the_worst_of_all() -> None:
    ok, warning, failed = (Finding("a", status, "") for status in ("ok", "warning", "failed"))  # type: ignore[arg-type]
    assert (worst([ok]), worst([ok, warning]), worst([failed, warning])) == ("ok", "warning", "failed")


def test_no_slurm_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (finding,) = doctor_slurm.examine_slurm()
    assert (finding.name, finding.status) == ("Slurm", "warning")


def test_slurm_does_not_answer_because_munge_does_not(commands: Commands) -> None:
    commands.put("sbatch", "exit 1")
    commands.prints("sinfo", "", 1, "sinfo: error: Munge encode failed: no such file\nslurm_load_partitions: error\n")
    commands.prints("munge", "", 6, "munge: Error: Failed to access socket\n")
    slurm, munge = doctor_slurm.examine_slurm()
    assert (slurm.status, munge.status) == ("failed", "failed")
    assert "munge does not answer" in slurm.message
    assert "Failed to access socket" in munge.message


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'srun: error: Unable to allocate resources: Invalid account' >&2; exit 1", "Invalid account"),
        ("echo hello", "srun ended with code 0"),
    ],
)
def test_a_node_that_cannot_be_asked(commands: Commands, tmp_path: Path, script: str, message: str) -> None:
    commands.put("srun", script)
    (finding,) = doctor_slurm.examine_node(Profile("mine", partition="gpu"), sys.executable, tmp_path, REPOSITORY)
    assert finding.status == "failed"
    assert message in finding.message
    assert "--partition=gpu" in commands.calls("srun")[0]
    assert list(tmp_path.glob(".doctor*")) == []


@pytest.mark.slurm
def test_a_node_of_the_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lab.env.items():
        monkeypatch.setenv(name, value)
    assert [finding.status for finding in doctor_slurm.examine_slurm()] == ["ok", "ok"]
    profile = Profile("mine", partition="gpu", setup=("echo hello", "export SANPOSE_NODE_LOCAL=/nowhere"))
    findings = doctor_slurm.examine_node(profile, sys.executable, lab.shared, REPOSITORY)
    assert findings[0] == Finding("shared folder", "ok", f"the node sees what this machine writes into {lab.shared}")
    assert [f.name for f in findings[1:]] == [
        "Python", "packages", "torch", "runs", "temporary folder", "shared memory", "open files"
    ]  # fmt: skip
    assert "failed" not in {finding.status for finding in findings}, findings
