"""Handing a job to Slurm: what sbatch gets to see, what it says, and how the launcher is called on the node."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import cancel, launch, submit
from cluster.errors import ClusterError
from cluster.slurm import jobs, profiles, queue
from cluster.slurm.jobs import JobRecord
from cluster.slurm.sbatch import sbatch_text
from cluster.slurm.spec import JobSpec, Profile
from cluster.submit import Launch
from tests.cluster.fakes import Commands, commands
from tests.slurmlab.lab import Lab

__all__ = ["commands"]
REPOSITORY = Path(__file__).parents[2]
# In place of the launcher: the command without Ray. A job imports its code from the snapshot, so this is what it gets.
PLAIN_LAUNCHER = """
import os, subprocess
from cluster.raycluster import requeue
from cluster.raycluster.allocation import Allocation
class Elastic: ...
def launch(command, folder, elastic):
    chain = requeue.prepare(Allocation.of(os.environ), folder)
    code = subprocess.run(command).returncode
    if code == 0:
        requeue.settle(chain)
    return code
"""


def job(runs: Path, *command: str, snapshot: Path | None = None, **profile: object) -> JobSpec:
    """A job in its folder, recorded but not submitted."""
    values = {"cpus_per_node": 1, "memory_per_node": "200M", "time": "0:10:00", "warning_seconds": 60, **profile}
    mine = Profile("mine", **values)  # type: ignore[arg-type]
    folder = jobs.folder_of(runs, "tiny")
    spec = JobSpec("tiny", command or ("/bin/true",), folder, runs, mine, snapshot, sys.executable)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    plain = profiles.to_plain(mine)
    place = (str(folder), str(runs), sys.executable, "2026-01-01T10:00:00+00:00", {"commit": None, "dirty": None})
    jobs.write(JobRecord("tiny", "train", "tiny", None, "mine", plain, spec.command, (), *place, str(snapshot)))
    return spec


def test_sbatch_gets_the_script_and_little_of_this_shell(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwanted = {"SBATCH_PARTITION", "SLURM_JOB_ID", "RAY_ADDRESS", "CUDA_VISIBLE_DEVICES", "PYTHONPATH", "SECRET"}
    for name in unwanted:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    commands.put("srun", "exit 1")
    commands.put("sbatch", f'env > {tmp_path}/env; cat "$1" > {tmp_path}/text; echo "Submitted batch job 41"')
    spec = job(tmp_path / "runs", partition="gpu")
    assert submit.submit(spec) == "41"
    assert (tmp_path / "text").read_text() == sbatch_text(spec)
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert {"HOME", "PATH", "SLURM_CONF"} <= names
    assert not names & {
        "SBATCH_PARTITION",
        "SLURM_JOB_ID",
        "RAY_ADDRESS",
        "CUDA_VISIBLE_DEVICES",
        "PYTHONPATH",
        "SECRET",
    }
    assert (spec.folder / "submitit" / "41_submitted.pkl").is_file()


@pytest.mark.parametrize(
    ("output", "code", "complaint", "message"),
    [
        (
            "",
            1,
            "sbatch: error: Batch job submission failed: Invalid account\n",
            "Slurm refused the job: Batch job",
        ),
        ("what?", 0, "", "Could not make sense of sbatch output"),
    ],
)
def test_slurm_s_refusal_in_its_own_words(
    commands: Commands,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    output: str,
    code: int,
    complaint: str,
    message: str,
) -> None:
    commands.put("srun", "exit 1")
    commands.prints("sbatch", output, code, complaint)
    with pytest.raises(ClusterError, match=message):
        submit.submit(job(tmp_path))
    assert capsys.readouterr().err == ""


def test_the_launcher_s_code_becomes_the_job_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = job(tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "43")
    calls = {}

    def fake(command: tuple[str, ...], folder: Path, elastic: object) -> int:
        calls.update(command=command, folder=folder, term=signal.getsignal(signal.SIGTERM))
        return code

    monkeypatch.setattr(launch, "launch", fake)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGUSR2)}
    try:
        signal.signal(signal.SIGTERM, lambda *_: None)  # as submitit does
        code = 0
        assert Launch(spec.command, spec.folder)() == 0
        assert calls == {"command": spec.command, "folder": spec.folder, "term": signal.SIG_DFL}
        code = 75
        with pytest.raises(SystemExit, match="75"):
            Launch(spec.command, spec.folder)()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert jobs.read(spec.folder).job_id == "43", "a chained job takes the place of the one before"


def test_what_the_launcher_complains_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = job(tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "43")
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def fake(command: tuple[str, ...], folder: Path, elastic: object) -> int:
        raise ClusterError("node3 did not come")

    monkeypatch.setattr(launch, "launch", fake)
    with pytest.raises(SystemExit, match="2"):
        Launch(spec.command, spec.folder)()
    assert "error: node3 did not come" in capsys.readouterr().err


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Code with a launcher that starts no Ray."""
    shutil.copytree(REPOSITORY / "cluster", tmp_path / "code" / "cluster")
    (tmp_path / "code" / "cluster" / "launch.py").write_text(PLAIN_LAUNCHER)
    return tmp_path / "code"


@pytest.fixture
def in_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """This process talks to the lab's Slurm."""
    for name in [name for name in os.environ if name.startswith(("SLURM", "SBATCH"))]:
        monkeypatch.delenv(name)
    for name, value in lab.env.items():
        monkeypatch.setenv(name, value)
    return lab


@pytest.mark.slurm
def test_a_job_with_odd_names_runs_and_ends_as_its_command_does(in_lab: Lab, snapshot: Path) -> None:
    runs = in_lab.shared / "my 'runs' $HOME \"x\" #1"
    runs.mkdir()
    setup = ("export GREETING='it is'", "true # $HOME")
    command = ("/bin/sh", "-c", 'echo "$GREETING: $0 $1"; pwd; exit 3', "a  b", "'c' \"d\" $e")
    spec = job(runs, *command, snapshot=snapshot, setup=setup, extra={"comment": "a \"b\" 'c' #d"})
    number = submit.submit(spec)
    in_lab.wait(number, {"FAILED"}, 30)
    printed = (spec.folder / "job.out").read_text()
    assert f"it is: a  b 'c' \"d\" $e\n{runs}\n" in printed
    assert in_lab.details(number)["ExitCode"] == "3:0"
    assert jobs.read(spec.folder).job_id == number
    assert queue.look([number])[number].state.word == "failed"


@pytest.mark.slurm
def test_a_requeued_job_is_the_same_job(in_lab: Lab, snapshot: Path) -> None:
    """submitit's pickle is there for the second start too, and its signals do not stand in the way."""
    waits = '[ "$SLURM_RESTART_COUNT" ] && exit; echo begun; exec sleep 60'
    spec = job(in_lab.shared, "/bin/sh", "-c", waits, snapshot=snapshot)
    number = submit.submit(spec)
    output = spec.folder / "job.out"
    end = time.monotonic() + 30
    while not output.exists() or "begun" not in output.read_text():
        assert time.monotonic() < end, in_lab.logs(number)
        time.sleep(0.1)
    subprocess.run(["scontrol", "requeue", number], check=True)
    in_lab.wait(number, {"COMPLETED"}, 60)
    assert output.read_text().count("Loading pickle") == 2
    assert queue.look([number])[number].state.word == "done"


@pytest.mark.slurm
def test_a_job_that_may_not_be_requeued_is_followed_by_itself(in_lab: Lab, snapshot: Path) -> None:
    mark = in_lab.shared / "mark"
    spec = job(
        in_lab.shared, "/bin/sh", "-c", f"[ -e {mark} ] && exit; : > {mark}; exit 75", snapshot=snapshot, requeue=False
    )
    number = submit.submit(spec)
    in_lab.wait(number, {"FAILED"}, 30)
    follower = str(int(number) + 1)
    in_lab.wait(follower, {"COMPLETED"}, 60)
    assert jobs.read(spec.folder).job_id == follower


@pytest.mark.slurm
def test_a_job_and_its_follower_are_cancelled(in_lab: Lab, snapshot: Path) -> None:
    spec = job(in_lab.shared, "/bin/sleep", "60", snapshot=snapshot)
    number = submit.submit(spec)
    follower = in_lab.sbatch("#!/bin/sh\nsleep 60\n", f"--dependency=afternotok:{number}")
    other = in_lab.sbatch("#!/bin/sh\nsleep 60\n", "--begin=now+1hour")
    in_lab.wait(number, {"RUNNING"}, 20)
    record = jobs.JobRecord(**{**vars(jobs.read(spec.folder)), "job_id": number})
    assert cancel.cancel([record]) == {"tiny": f"cancelled job {number}, which was running"}
    in_lab.wait(number, {"CANCELLED"}, 20)
    assert in_lab.squeue(follower) == "CANCELLED"
    assert in_lab.squeue(other) == "PENDING"
    (outcome,) = cancel.cancel([record]).values()
    assert "has already ended (cancelled)" in outcome
