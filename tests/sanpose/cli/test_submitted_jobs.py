"""`sanpose logs`, `cancel`, and the jobs in `sanpose status`; Slurm's commands are stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.slurm import jobs
from sanpose.runs import ledger
from sweeps import record
from tests.cluster.fakes import Commands, commands
from tests.sanpose.submission.submitted_jobs import (
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

__all__ = ["commands", "data", "project", "slurm"]


def test_cancel(project: Path, data: list[str], slurm: Commands) -> None:
    submitted(data)
    submitted(data, "train.seed=1")
    says(slurm, j41="RUNNING", j42="COMPLETED")
    shown = run("cancel", "--all").output
    assert "cancelled job 41, which was running" in shown
    assert "42" not in shown
    assert slurm.calls("scancel") == ["41"]
    assert "job 42 has already ended (done)" in run("cancel", "42").output
    assert run("cancel").exit_code == run("cancel", "41", "--all").exit_code == 2
    says(slurm, j41="CANCELLED", j42="COMPLETED")
    assert "no job waits or runs" in run("cancel", "--all").output


def test_the_job_that_follows_counts_once_the_first_has_ended(project: Path, data: list[str], slurm: Commands) -> None:
    submitted(data)
    (Path(only(project).folder) / jobs.FOLLOWER).write_text("42")
    says(slurm, j41="RUNNING", j42="PENDING")
    assert states()["jobs"][0]["job_id"] == "41"
    says(slurm, j41="FAILED", j42="PENDING")
    (job,) = states()["jobs"]
    assert (job["job_id"], job["stage"]) == ("42", "waiting")
    assert "job 42" in submitted(data).output and len(slurm.calls("sbatch")) == 1
    assert "job 42" in run("resubmit", "41").output and len(slurm.calls("sbatch")) == 1
    assert "cancelled job 42" in run("cancel", "42").output


def test_logs(project: Path, data: list[str], slurm: Commands) -> None:
    submitted(data)
    says(slurm, j41="PENDING")
    assert "the job has printed nothing yet: job 41 is pending (Resources)" in run("logs", "41").output
    record = only(project)
    record.output.write_text("epoch 1\n")
    node = Path(record.folder) / "ray" / "41-0-0"
    node.mkdir(parents=True)
    (node / "n1.log").write_text("Ray runtime started\n")
    assert run("logs", record.target[:4]).output == "epoch 1\n"
    assert run("logs", "41", "--node", "n1").output == "Ray runtime started\n"
    with pytest.raises(ClusterError, match=r"no log of node 'n2'[\s\S]*n1"):
        run("logs", "41", "--node", "n2")
    says(slurm, j41="COMPLETED")
    assert run("logs", "41", "--follow").output == "epoch 1\njob 41 is done\n"


def test_logs_follow_a_job_through_a_requeue_to_its_end(project: Path, data: list[str], slurm: Commands) -> None:
    submitted(data)
    output = only(project).output
    step = slurm.folder / "step"
    script = (
        f"echo x >> {step}; case $(wc -l < {step}) in"
        f" 1) echo begun >> {output}; echo '41|RUNNING|n1|0:01|None';;"
        f" 2) echo '41|PENDING||0:00|BeginTime';;"
        f" *) echo ended >> {output}; echo '41|COMPLETED|n1|0:02|None';; esac"
    )
    slurm.put("squeue", script)
    assert run("logs", "41", "--follow").output.splitlines() == [
        "begun", "job 41 is pending (BeginTime)", "ended", "job 41 is done"
    ]  # fmt: skip


def test_status_tells_of_jobs_what_slurm_does(project: Path, data: list[str], slurm: Commands) -> None:
    submitted(data)
    shown = []
    for word in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED", "TIMEOUT", "TELEPORTED"):
        says(slurm, j41=word)
        (job,) = states()["jobs"]
        shown.append((job["state"], job["stage"], job["slurm"]))
    assert shown == [
        ("pending", "waiting", "PENDING"),
        ("running", "running", "RUNNING"),
        ("ending", "running", "COMPLETING"),
        ("requeued", "waiting", "REQUEUED"),
        ("timed out", "ended", "TIMEOUT"),
        ("unknown", "unknown", "TELEPORTED"),
    ]
    says(slurm)
    assert states()["jobs"][0]["reason"] == "Slurm no longer knows this job"
    slurm.prints("squeue", "", 1, "slurm_load_jobs error: Unable to contact slurm controller\n")
    shown = run("status").output
    assert "unknown: slurm_load_jobs error: Unable to contact slurm controller" in shown
    assert f"run {only(project).target}" in shown
    assert "nothing recorded yet" in shown


def test_status_without_jobs_asks_no_slurm(project: Path, slurm: Commands) -> None:
    done(project / "runs", "4c1f0ab23e")
    assert "jobs" not in run("status").output
    assert states()["jobs"] == []
    assert slurm.calls("squeue") == []


def test_one_question_for_all_jobs(project: Path, data: list[str], slurm: Commands) -> None:
    for seed in range(3):
        submitted(data, f"train.seed={seed}")
    says(slurm, j41="RUNNING", j42="PENDING", j43="FAILED")
    before = len(slurm.calls("squeue"))
    assert [job["state"] for job in states()["jobs"]] == ["failed", "pending", "running"]
    assert len(slurm.calls("squeue")) == before + 1


@pytest.mark.parametrize(
    ("recorded", "word", "state", "reason"),
    [
        ("running", "RUNNING", "running", "job 41 is running on n1"),
        ("running", "PENDING", "waiting", "job 41 is pending: Resources"),
        ("running", "TIMEOUT", "stopped", "job 41 is timed out; `sanpose resubmit"),
        ("interrupted", "PENDING", "waiting", "job 41 is pending: Resources"),
        ("interrupted", "FAILED", "interrupted", None),
        ("running", "TELEPORTED", "unverified", "running on n1, unverified"),
    ],
)
def test_a_job_tells_of_its_run_what_the_record_cannot(
    project: Path, data: list[str], slurm: Commands, recorded: str, word: str, state: str, reason: str | None
) -> None:
    submitted(data)
    target = only(project).target
    ledger.create(project / "runs", target, {"preset": "smoke"}, {"machine": {"hostname": "n1"}})
    ledger.write_result(project / "runs" / target, {"status": recorded})
    says(slurm, j41=word)
    (loose,) = states()["loose"]
    assert loose["state"] == state
    assert (loose["reason"] or "").startswith(reason or "")
    assert states()["jobs"][0]["recorded"] in (recorded, "unverified")


def test_a_job_tells_of_its_sweep(project: Path, data: list[str], slurm: Commands) -> None:
    sweep_file(project)
    run("submit", "tune", *data, "sweep=rates.yaml", "cluster=mine.yaml")
    driver = {"host": "n1", "pid": 1, "started": None}
    record.write_head(project / "runs", "rates-smoke", {"title": "rates", "driver": driver, "ended": None})
    for word, state in {"RUNNING": "running", "PENDING": "stopped", "NODE_FAIL": "stopped", "X": "unverified"}.items():
        says(slurm, j41=word)
        content = states("--sweep", "rates-smoke")
        assert (content["sweeps"][0]["state"], len(content["jobs"])) == (state, 1), word
    says(slurm, j41="NODE_FAIL")
    assert "`sanpose resubmit rates-smoke` resumes the sweep" in states()["sweeps"][0]["reason"]


def test_a_broken_job_record_is_shown(project: Path, data: list[str], slurm: Commands) -> None:
    submitted(data)
    (Path(only(project).folder) / "job.json").write_text("{")
    content = states()
    assert content["jobs"] == []
    assert "job's record cannot be read" in content["broken"][0]["reason"]


def test_jobs_are_no_runs(project: Path, data: list[str], slurm: Commands) -> None:
    submitted(data)
    assert states()["loose"] == []
    assert ledger.read_all(project / "runs") == ([], [])
    with pytest.raises(ledger.NoSuchRun):
        ledger.find(project / "runs", "jobs")
