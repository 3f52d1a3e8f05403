"""`sanpose doctor`: which machines are checked, the table, the exit code. What is found is cluster.doctor's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster import doctor, doctor_slurm
from cluster.doctor import Finding
from cluster.errors import ClusterError
from sanpose.cli.doctor import doctor as command

GOOD, POOR, BAD = (
    Finding("Python", "ok", "3.11"),
    Finding("runs", "warning", "2 GB"),
    Finding("node", "failed", "silent"),
)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What each machine finds, to be changed, and with what arguments it was checked."""
    machines: dict[str, Any] = {"here": [GOOD], "slurm": [POOR], "node": [GOOD]}

    def here(folder: Path, local: Path) -> list[Finding]:
        machines["folder"], machines["local"] = folder, local
        return list(machines["here"])

    def node(profile: object, python: str, folder: Path, code: Path) -> list[Finding]:
        machines["profile"] = profile
        return list(machines["node"])

    monkeypatch.setattr(doctor, "examine", here)
    monkeypatch.setattr(doctor_slurm, "examine_slurm", lambda: machines["slurm"])
    monkeypatch.setattr(doctor_slurm, "examine_node", node)
    monkeypatch.chdir(tmp_path)
    return machines


def test_this_machine(checks: dict[str, Any], tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0, "a warning is no failure"
    assert [line.split() for line in result.output.splitlines()] == [
        ["this", "machine"], ["Python", "ok", "3.11"], ["runs", "warning", "2", "GB"]
    ]  # fmt: skip
    assert (checks["folder"], checks["local"]) == (tmp_path, Path("/tmp")), "runs are not there yet: where they will be"
    assert "profile" not in checks


def test_a_node_of_a_cluster(checks: dict[str, Any]) -> None:
    arguments = ["--cluster", "gpu", "cluster.partition=big", "cluster.node_local=/scratch"]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert (checks["profile"].partition, checks["local"]) == ("big", Path("/scratch"))
    checks["node"] = [BAD]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1
    assert "a node of gpu" in result.output
    assert "silent" in result.output


def test_what_cannot_be_asked(checks: dict[str, Any]) -> None:
    assert CliRunner().invoke(command, ["cluster.nodes=2"]).exit_code == 2
    with pytest.raises(ClusterError, match="there is no such profile"):
        CliRunner().invoke(command, ["--cluster", "gpuu"], catch_exceptions=False)
