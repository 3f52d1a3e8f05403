"""A project whose jobs are submitted, with stand-ins for Slurm's commands: for the tests of what follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cluster.slurm import jobs
from sanpose.cli import cli
from sanpose.runs import ledger
from sanpose.submission import submit
from tests.cluster.fakes import Commands
from tests.sanpose import tiny

REPOSITORY = Path(__file__).parents[3]
PROFILE = "partition: gpu\nnodes: 2\ncpus_per_node: 2\ntime: 1:00:00\n"
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    overrides = tiny.overrides(tmp_path_factory.mktemp("data"))
    return [override for override in overrides if not override.startswith("runs=")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a profile, and code small enough to be copied in no time."""
    code = tmp_path / "code"
    for package in ("cluster", "sweeps", "sanpose"):
        (code / package).mkdir(parents=True)
        (code / package / "__init__.py").write_text("VALUE = 1\n")
    monkeypatch.setattr(submit, "REPOSITORY", code)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(PROFILE)
    return tmp_path


@pytest.fixture
def slurm(commands: Commands) -> Commands:
    """A cluster with room, on which every job gets a new number and waits."""
    node = "gpu*|n%d|8|8000|(null)|infinite|(null)\\n"
    commands.put("sinfo", f"[ \"$1\" = --version ] && echo slurm 22.05.8 || printf '{node}{node}' 1 2")
    commands.put("srun", "exit 1")
    commands.put("sbatch", f'echo "Submitted batch job 4$(wc -l < {commands.folder}/sbatch.calls)"')
    commands.put("scancel", "")
    commands.prints("sacct", "", 1, "Slurm accounting storage is disabled\n")
    says(commands)
    return commands


def says(commands: Commands, **states: str) -> None:
    """What squeue says of jobs: j41="RUNNING"."""
    lines = [
        f"{job[1:]}|{word}|n1|0:10|{'Resources' if word == 'PENDING' else 'None'}\n" for job, word in states.items()
    ]
    if lines:
        commands.prints("squeue", "".join(lines))
    else:
        commands.prints("squeue", "", 1, "slurm_load_jobs error: Invalid job id specified\n")


def run(*arguments: str) -> Result:
    """The command; a failure is raised as the console script would catch it."""
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def submitted(data: list[str], *more: str) -> Result:
    return run("submit", "train", *data, "cluster=mine.yaml", *more)


def only(project: Path) -> jobs.JobRecord:
    (record,), broken = jobs.read_all(project / "runs")
    assert broken == []
    return record


def done(runs: Path, name: str) -> None:
    ledger.create(runs, name, {"preset": "smoke"}, {})
    ledger.write_result(runs / name, {"status": "done", "metrics": {}})


def sweep_file(project: Path) -> None:
    text = "title: rates\naxes: {train.learning_rate: [0.1, 0.2]}\nfixed: []\n"
    (project / "rates.yaml").write_text(text)


def states(*arguments: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(run("status", "--json", *arguments).output)
    return status
