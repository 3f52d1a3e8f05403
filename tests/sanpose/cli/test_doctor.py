"""`sanpose doctor`: which machines are asked, the table, the exit code. What is found is cluster.doctor's."""

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
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What each machine finds, to be changed, and what it was asked with."""
    told: dict[str, Any] = {"here": [GOOD], "slurm": [POOR], "node": [GOOD]}

    def here(folder: Path, local: Path) -> list[Finding]:
        told["folder"], told["local"] = folder, local
        return list(told["here"])

    def node(profile: object, python: str, folder: Path, code: Path) -> list[Finding]:
        told["profile"] = profile
        return list(told["node"])

    monkeypatch.setattr(doctor, "examine", here)
    monkeypatch.setattr(doctor_slurm, "examine_slurm", lambda: told["slurm"])
    monkeypatch.setattr(doctor_slurm, "examine_node", node)
    monkeypatch.chdir(tmp_path)
    return told


def test_this_machine(asked: dict[str, Any], tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0, "a warning is no failure"
    assert [line.split() for line in result.output.splitlines()] == [
        ["this", "machine"], ["Python", "ok", "3.11"], ["runs", "warning", "2", "GB"]
    ]  # fmt: skip
    assert (asked["folder"], asked["local"]) == (tmp_path, Path("/tmp")), "runs are not there yet: where they will be"
    assert "profile" not in asked


def test_a_node_of_a_cluster(asked: dict[str, Any]) -> None:
    arguments = ["--cluster", "gpu", "cluster.partition=big", "cluster.node_local=/scratch"]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert (asked["profile"].partition, asked["local"]) == ("big", Path("/scratch"))
    asked["node"] = [BAD]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1
    assert "a node of gpu" in result.output
    assert "silent" in result.output


def test_what_cannot_be_asked(asked: dict[str, Any]) -> None:
    assert CliRunner().invoke(command, ["cluster.nodes=2"]).exit_code == 2
    with pytest.raises(ClusterError, match="there is no such profile"):
        CliRunner().invoke(command, ["--cluster", "gpuu"], catch_exceptions=False)
