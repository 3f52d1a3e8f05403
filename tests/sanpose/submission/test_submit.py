"""`sanpose submit` and `resubmit`; Slurm's commands are stand-ins, but for one real job."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterError
from cluster.slurm import snapshot
from cluster.slurm.sbatch import sbatch_text
from sanpose.config.compose import compose, located
from sanpose.errors import UserError
from sanpose.runs import identity, ledger
from sanpose.submission import request as requests
from sanpose.submission.submit import code, spec
from tests.cluster.fakes import Commands, commands
from tests.sanpose import tiny
from tests.sanpose.odd_paths import ODD
from tests.sanpose.submission.submitted_jobs import (
    PROFILE,
    data,
    done,
    only,
    project,
    run,
    says,
    slurm,
    states,
    submitted,
    sweep_file,
)
from tests.slurmlab.lab import Lab

__all__ = ["commands", "data", "project", "slurm"]


def test_a_dry_run_prints_the_script_and_writes_nothing(project: Path, data: list[str], slurm: Commands) -> None:
    before = sorted(project.rglob("*"))
    shown = submitted(data, "cluster.nodes=1", "--dry-run").output
    assert sorted(p for p in project.rglob("*") if p.parent.name != "bin") == [
        p for p in before if p.parent.name != "bin"
    ]
    assert slurm.calls("sbatch") == slurm.calls("sinfo") == []
    request = requests.read("train", [*data, "cluster=mine.yaml", "cluster.nodes=1"])
    text = sbatch_text(spec(request, code(request.runs)))
    assert shown.startswith(text)
    assert "#SBATCH --nodes=1\n" in text
    assert f"# sbatch gets this script; the job's folder: {project}/runs/jobs/{request.target}\n" in shown
    assert f"runs={project}/runs" in shown


def test_a_dry_run_shows_no_password(project: Path, data: list[str], slurm: Commands) -> None:
    overrides = ["sweep=delta_init", *data, "cluster=mine.yaml", "search.storage=postgresql://u:secret@h/db"]
    shown = run("submit", "tune", *overrides, "--dry-run").output
    assert "search.storage=postgresql://u:***@h/db" in shown
    assert "secret" not in shown


def test_a_training_is_submitted_with_its_code_and_recorded(project: Path, data: list[str], slurm: Commands) -> None:
    shown = submitted(data, "train.workers=2").output
    record = only(project)
    run_id = identity.run_id(compose([*data, "train.workers=2"]))
    assert (record.name, record.kind, record.target, record.job_id) == (run_id, "train", run_id, "41")
    assert shown.startswith(f"run {run_id} is job 41 on mine, with the present code\n")
    assert record.command[:4] == (sys.executable, "-P", "-m", "sanpose.train")
    assert record.command[-1] == f"runs={project}/runs"
    assert (record.profile["nodes"], record.cwd) == (2, str(project))
    copy = Path(record.snapshot or "")
    (project / "code" / "sanpose" / "__init__.py").write_text("VALUE = 2\n")
    assert (copy / "sanpose" / "__init__.py").read_text() == "VALUE = 1\n"
    assert (copy / "configs" / "config.yaml").is_file()
    assert json.loads((copy / snapshot.PROVENANCE).read_text())["git"]["commit"] is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["train.epoch=3"], "did you mean 'train.epochs'?"),
        (["train.workers=8"], "more than the job has CPUs: 4 on 2 nodes"),
        (["train.accelerator=cuda"], "the job has no GPUs"),
        (["cluster.gpus_per_node=1", "train.accelerator=auto", "train.workers=4"], "more than the job has GPUs: 2"),
        (["cluster.nodse=3"], "did you mean 'nodes'?"),
        (["cluster.partition=big"], "no partition 'big'"),
        (["cluster.nodes=3"], "nodes=3 is more than the partition has"),
        (["cluster.time=0:05:00"], "too short"),
        (["cluster=gpuu"], "did you mean 'gpu'?"),
        (["runs=/nowhere/runs"], "is missing"),
    ],
)
def test_what_cannot_run_is_not_submitted(
    project: Path, data: list[str], slurm: Commands, more: list[str], message: str
) -> None:
    with pytest.raises((UserError, ClusterError)) as error:
        submitted(data, *more)
    assert message in str(error.value)
    assert slurm.calls("sbatch") == []
    assert not list(project.glob("runs/jobs/*/job.json"))


def test_which_cluster(project: Path, data: list[str]) -> None:
    with pytest.raises(ClusterError, match="no cluster is named"):
        run("submit", "train", *data)


def test_the_same_run_is_submitted_once_while_it_lives(project: Path, data: list[str], slurm: Commands) -> None:
    submitted(data)
    for word, state in {"PENDING": "pending, Resources", "RUNNING": "running", "REQUEUE_HOLD": "held"}.items():
        says(slurm, j41=word)
        shown = submitted(data, "cluster.nodes=1")
        assert shown.exit_code == 0
        assert f"is already job 41 ({state}): nothing is submitted" in shown.output
    assert len(slurm.calls("sbatch")) == 1
    assert only(project).profile["nodes"] == 2
    says(slurm, j41="FAILED")
    assert "is job 42 on mine" in submitted(data, "cluster.nodes=1").output
    assert (only(project).job_id, only(project).profile["nodes"]) == ("42", 1)
    says(slurm)  # forgotten
    assert "is job 43 on mine" in submitted(data).output


@pytest.mark.parametrize(
    ("output", "code", "complaint"),
    [("", 1, "slurm_load_jobs error: Unable to contact slurm controller\n"), ("41|TELEPORTED|n1|0:10|None\n", 0, "")],
)
def test_nothing_is_submitted_when_nobody_knows(
    project: Path, data: list[str], slurm: Commands, output: str, code: int, complaint: str
) -> None:
    submitted(data)
    slurm.prints("squeue", output, code, complaint)
    with pytest.raises(ClusterError, match="it is unknown whether job 41 still runs"):
        submitted(data)
    assert len(slurm.calls("sbatch")) == 1


def test_a_refused_job_leaves_no_job(project: Path, data: list[str], slurm: Commands) -> None:
    slurm.prints("sbatch", "", 1, "sbatch: error: Batch job submission failed: Invalid qos specification\n")
    with pytest.raises(ClusterError, match="Invalid qos specification"):
        submitted(data)
    assert only(project).job_id is None
    slurm.put("sbatch", 'echo "Submitted batch job 50"')
    assert "is job 50" in submitted(data).output


def test_a_run_that_is_done_is_not_submitted(project: Path, data: list[str], slurm: Commands) -> None:
    done(project / "runs", identity.run_id(compose(data)))
    assert "is already done" in submitted(data).output
    assert slurm.calls("sbatch") == []


def test_a_sweep_goes_with_its_own_definition(project: Path, data: list[str], slurm: Commands) -> None:
    sweep_file(project)
    options = ("--retry-failed", "--keep", "last")
    shown = run("submit", "tune", *data, "sweep=rates.yaml", "cluster=mine.yaml", *options).output
    record = only(project)
    assert shown.startswith("sweep rates-smoke is job 41 on mine")
    assert (record.kind, record.target, record.command[3]) == ("tune", "rates-smoke", "sanpose.tune")
    copy = Path(record.folder) / "rates.yaml"
    assert f"sweep={copy}" in record.command
    assert record.command[-3:] == (f"runs={project}/runs", "--retry-failed", "--keep=last")
    (project / "rates.yaml").write_text("{}")
    assert "learning_rate" in copy.read_text()


def test_a_sweep_whose_nodes_come_and_go(project: Path, data: list[str], slurm: Commands) -> None:
    sweep_file(project)
    overrides = (*data, "sweep=rates.yaml", "cluster=mine.yaml", "cluster.cpus_per_node=6", "elastic.max_nodes=5")
    shown = run("submit", "tune", *overrides, "--dry-run").output
    head, _, joiner = shown.partition("# up to 5 of these jobs join the job:")
    assert "--nodes=1\n" in head
    assert "--cpus-per-task=4\n" in head
    assert "--cpus-per-task=6\n" in joiner
    assert 'cluster.join "$SANPOSE_START"' in joiner
    run("submit", "tune", *overrides)
    record = only(project)
    assert record.elastic
    assert (record.elastic["most"], record.elastic["profile"]["cpus_per_node"], record.profile["cpus_per_node"]) == (
        5,
        6,
        4,
    )
    assert (Path(record.folder) / "joiner.sbatch").read_text() in joiner
    assert record.spec().max_joiners == 5
    (project / "head.yaml").write_text(PROFILE + "account: a\n")
    assert "--account=a\n" in run("submit", "tune", *overrides, "elastic.head=head.yaml", "--dry-run").output


@pytest.mark.parametrize("bad", ["elastic.max_nodes=0", "elastic.max_nodes=x", "elastic.nodes=3", "elastic.head=gpu"])
def test_elastic_settings_that_cannot_be(project: Path, data: list[str], bad: str) -> None:
    sweep_file(project)
    with pytest.raises(UserError, match="cannot be used"):
        run("submit", "tune", *data, "sweep=rates.yaml", "cluster=mine.yaml", bad)
    with pytest.raises(UserError, match="is for sweeps"):
        submitted(data, bad)


def test_options_of_sweeps(project: Path, data: list[str]) -> None:
    assert submitted(data, "--retry-failed").exit_code == 2
    sweep_file(project)
    with pytest.raises(UserError, match="keep"):
        run("submit", "tune", *data, "sweep=rates.yaml", "cluster=mine.yaml", "--keep", "some")


def test_a_recorded_run_is_resumed_by_its_whole_id(project: Path, data: list[str], slurm: Commands) -> None:
    plan = compose([*data, "runs=runs"])
    name = identity.run_id(plan)
    ledger.create(project / "runs", name, located(plan).plain(), {})
    run("submit", "train", f"resume={name[:4]}", "train.workers=2", "cluster=mine.yaml")
    assert only(project).command[4:] == (f"resume={name}", "train.workers=2", f"runs={project}/runs")


def test_here_it_is_the_same_command(project: Path, data: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[Any] = []

    def execve(*arguments: object) -> None:
        became.extend(arguments)
        raise SystemExit  # what follows is another program

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setenv("PATH", "/nowhere")
    run("submit", "train", *data, "cluster=local")
    record = only(project)
    path, command, environment = became
    assert (path, tuple(command)) == (sys.executable, record.command)
    assert environment["PYTHONPATH"] == record.snapshot
    assert (record.cluster, record.job_id) == ("local", None)


def test_resubmit_keeps_the_code_unless_told(project: Path, data: list[str], slurm: Commands) -> None:
    submitted(data)
    first = only(project)
    says(slurm, j41="TIMEOUT")
    (project / "code" / "sanpose" / "__init__.py").write_text("VALUE = 2\n")
    assert "is job 42 on mine" in run("resubmit", "41", "cluster.time=2:00:00").output
    second = only(project)
    assert (second.job_id, second.snapshot, second.profile["time"]) == ("42", first.snapshot, "2:00:00")
    says(slurm, j42="PENDING")
    assert "is already job 42 (pending, Resources)" in run("resubmit", first.target[:5]).output
    says(slurm, j42="FAILED")
    run("resubmit", "42", "--fresh-code")
    third = only(project)
    assert third.job_id == "43"
    assert third.snapshot != first.snapshot
    assert (Path(third.snapshot or "") / "sanpose" / "__init__.py").read_text() == "VALUE = 2\n"


def test_what_cannot_be_resubmitted(project: Path, data: list[str], slurm: Commands) -> None:
    with pytest.raises(ClusterError, match="there is no job '41'"):
        run("resubmit", "41")
    submitted(data)
    says(slurm, j41="FAILED")
    with pytest.raises(UserError, match=r"'train\.epochs=3' cannot change a submitted job"):
        run("resubmit", "41", "train.epochs=3")
    with pytest.raises(ClusterError, match="nodes=3 is more"):
        run("resubmit", "41", "cluster.nodes=3")
    record = only(project)
    snapshot.remove(Path(record.snapshot or ""))
    with pytest.raises(ClusterError, match=r"snapshot of the code is gone[\s\S]*--fresh-code"):
        run("resubmit", "41")
    done(project / "runs", record.target)
    assert "is already done" in run("resubmit", "41").output
    assert len(slurm.calls("sbatch")) == 1


@pytest.mark.slurm
def test_a_training_submitted_for_real(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command to the record, on two nodes, with the code of a snapshot, from a folder whose name is odd;
    nothing is submitted twice."""
    for name, value in lab.env.items():
        monkeypatch.setenv(name, value)
    work = lab.shared / ODD
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "mine.yaml").write_text(PROFILE + "memory_per_cpu: 1500M\nwarning_seconds: 60\n")
    data = [override for override in tiny.overrides(work / "data [1]") if not override.startswith("runs=")]
    overrides = (
        f"cluster={work / 'mine.yaml'}",
        "train.workers=2",
        "train.accelerator=cpu",
        "train.epochs=1",
        "train.milestones=[]",
        "eval.sets=[h36m]",
    )
    assert "is job" in submitted(data, *overrides).output
    assert "nothing is submitted" in submitted(data, *overrides).output
    record = only(work)
    assert record.job_id
    lab.wait(record.job_id, {"COMPLETED"}, 200)
    assert ledger.read(work / "runs" / record.target).status == "done"
    assert f"run {record.target} is done" in run("logs", record.job_id).output
    assert "is already done" in submitted(data, *overrides).output
    (job,) = states()["jobs"]
    assert (job["state"], job["recorded"]) == ("done", "done")
    snapshot.remove(Path(record.snapshot or ""))
