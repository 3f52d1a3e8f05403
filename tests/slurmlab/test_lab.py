"""The lab is a cluster: nodes of their own, GPUs, preemption, faults; and it leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.slurmlab.lab import Lab
from tests.slurmlab.shell import LabError, run, until

pytestmark = pytest.mark.slurm

# On SIGTERM the shell ends only between two commands, so these are short.
PATIENT = "#!/bin/sh\nwhile :; do sleep 0.1; done\n"


def test_a_job_runs_on_three_machines(lab: Lab, tmp_path: Path) -> None:
    """Each with a name, an address, processes and a /tmp of its own, and with the project and the test's folder."""
    assert lab.nodes() == {"node1": "idle", "node2": "idle", "node3": "idle"}
    own = "test ! -e /tmp/here && touch /tmp/here && echo $(hostname) $(hostname -I) $(readlink /proc/self/ns/pid)"
    shared = f"test -x {sys.executable} && test -d {tmp_path}"
    lines = run(["srun", "-N3", "--chdir=/", "sh", "-c", f"{shared} && {own}"], lab.env).splitlines()
    names, addresses, spaces = zip(*(line.split() for line in sorted(lines)), strict=True)
    assert names == ("node1", "node2", "node3")
    assert [address.split(".")[-1] for address in addresses] == ["11", "12", "13"]
    assert len({*spaces, str(Path("/proc/self/ns/pid").readlink())}) == 4


def test_gpus_are_counted_and_named(lab: Lab) -> None:
    assert run(["srun", "--gres=gpu:2", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES"], lab.env) == "0,1"
    with pytest.raises(LabError, match="Requested node configuration is not available"):
        run(["srun", "--gres=gpu:3", "true"], lab.env)


def test_a_job_of_the_gpu_partition_preempts_and_requeues(lab: Lab) -> None:
    with Lab.started(GRACE=0) as quick:
        weak = quick.sbatch(PATIENT, "--partition=preemptible", "--nodes=3", "--exclusive")
        quick.wait(weak, {"RUNNING"}, 10)
        equal = quick.sbatch(PATIENT, "--partition=cpu")
        strong = quick.sbatch(PATIENT, "--partition=gpu", "--nodes=3", "--exclusive")
        quick.wait(strong, {"RUNNING"}, 20)
        assert quick.squeue(weak) == quick.squeue(equal) == "PENDING"
        assert quick.details(weak)["Restarts"] == "1"


def test_a_job_lives_through_the_loss_of_the_controller_and_of_slurmd(lab: Lab) -> None:
    job = lab.sbatch("#!/bin/sh\nuntil [ -e go ]; do sleep 0.1; done; echo done", "--nodelist=node2")
    lab.wait(job, {"RUNNING"}, 10)
    assert until(lambda: any("slurm_script" in line for line in lab.processes("node2")), 5)
    lab.controller_stop()
    lab.slurmd_kill("node2")
    assert lab.faults() == ["controller: not running", "node2: slurmd is not running"]
    lab.slurmd_start("node2")
    lab.controller_start()
    assert lab.faults() == []
    (lab.shared / "go").touch()
    lab.wait(job, {"COMPLETED"}, 20)
    assert lab.output(job) == "done\n"
    assert lab.details(job)["Restarts"] == "0"


def test_a_node_is_cut_off_and_back(lab: Lab) -> None:
    knock = ["timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/node2/6818"]  # its slurmd
    lab.exec("node1", knock)
    lab.cut("node2")
    with pytest.raises(LabError):
        lab.exec("node1", knock)
    lab.heal("node2")
    lab.exec("node1", knock)


def test_the_shared_folder_fills_and_turns_read_only(lab: Lab) -> None:
    write = ["sh", "-c", f"cd {lab.shared} && echo text >file && cat file"]
    lab.fs_full()
    with pytest.raises(LabError, match=r"I/O error|No space left"):
        lab.exec("node1", write)
    lab.fs_heal()
    lab.fs_readonly()
    with pytest.raises(LabError, match="Read-only file system"):
        lab.exec("node3", write)
    with pytest.raises(OSError, match="Read-only file system"):
        (lab.shared / "file").write_text("text")
    lab.fs_heal()
    assert lab.exec("node3", write) == "text"


def test_sacct_answers_without_accounting(lab: Lab) -> None:
    good = lab.sbatch("#!/bin/sh\ntrue", "--job-name=a name")
    bad = lab.sbatch("#!/bin/sh\nexit 3")
    lab.wait(good, {"COMPLETED"}, 10)
    lab.wait(bad, {"FAILED"}, 10)
    command = ["sacct", "-o", "JobID,JobName,State,ExitCode", "--parsable2", "-j", good, "-j", bad, "-j", "99999"]
    expected = ["JobID|JobName|State|ExitCode", f"{good}|a name|COMPLETED|0:0", f"{bad}|sbatch|FAILED|3:0"]
    assert run(command, lab.env_with_sacct).splitlines() == expected
    with pytest.raises(LabError, match="accounting storage is disabled"):
        run(command, lab.env)


def test_a_lab_with_accounting_answers_as_the_other_sacct_does(accounting_lab: Lab) -> None:
    good = accounting_lab.sbatch("#!/bin/sh\ntrue", "--job-name=a name")
    bad = accounting_lab.sbatch("#!/bin/sh\nexit 3", "--partition=cpu")
    accounting_lab.wait(good, {"COMPLETED"}, 10)
    accounting_lab.wait(bad, {"FAILED"}, 10)
    columns = "JobID,JobName,Partition,State,ExitCode,NodeList"
    command = ["sacct", "-X", "-n", "-P", "-o", columns, "-j", f"{good},{bad}"]
    ours = run(command, accounting_lab.env_with_sacct)
    assert len(ours.splitlines()) == 2
    assert until(lambda: run(command, accounting_lab.env) == ours, 10), run(command, accounting_lab.env)


def test_clean_undoes_what_a_test_did(lab: Lab) -> None:
    lab.sbatch(PATIENT, "--nodes=3", "--exclusive")
    (lab.shared / "folder").mkdir()
    lab.cut("node1")
    lab.poweroff("node2")
    lab.clean()
    assert lab.is_tidy()
    assert [*lab.shared.iterdir()] == []


def traces(lab: Lab) -> list[str]:
    """The traces of a lab on this machine. A zombie is no trace: it has ended."""
    remains = [name for name in run(["ip", "netns"], lab.env).split() if name.startswith(f"slab{lab.number}-")]
    remains += [
        line for line in run(["ip", "-brief", "link"], lab.env).splitlines() if line.startswith(f"slab{lab.number}v")
    ]
    remains += [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"{lab.folder}/" in line]
    remains += [str(lab.folder)] if lab.folder.exists() else []
    return remains + [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if belongs(path, lab)]


def belongs(environ: Path, lab: Lab) -> bool:
    try:
        return f"SLURM_CONF={lab.folder}/".encode() in environ.read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # ended meanwhile, or the machine's own
        return False


def test_a_second_lab_goes_without_a_trace(lab: Lab) -> None:
    with Lab.started(NODES=2, PREEMPT_SIGNAL=0) as other:
        assert other.nodes() == {"node1": "idle", "node2": "idle"}
        other.sbatch(PATIENT, "--nodes=2")
        assert len(traces(other)) > 8
    assert traces(other) == []
    assert lab.is_tidy()


def test_a_lab_ends_with_the_process_that_made_it(lab: Lab) -> None:
    code = "from tests.slurmlab.lab import Lab; lab = Lab.claim(); lab.up(); print(lab.number, flush=True); input()"
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    other = Lab(int(owner.stdout.readline()))
    owner.kill()
    owner.wait()
    assert until(lambda: traces(other) == [], 10), traces(other)
