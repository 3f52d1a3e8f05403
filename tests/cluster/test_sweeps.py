"""A sweep on a real Slurm continues without its lost nodes, and ends with the records of an undisturbed one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cluster.slurm import jobs
from sanpose.runs import journal, ledger
from sanpose.runs.paths import RunPaths
from tests.cluster import cluster_job
from tests.slurmlab.lab import Lab
from tests.slurmlab.shell import until

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(900)]

SWEEP = {"title": "delta", "fixed": ["ablation=c"], "axes": {"model.delta_init": [0.0, 0.1, 0.2, 0.3, 0.4]}}
PROFILE = (
    "partition: preemptible\nnodes: 1\ncpus_per_node: 1\nmemory_per_node: 3000M\ntime: 1:00:00\nwarning_seconds: 60\n"
)
Undisturbed = Callable[[list[str]], dict[str, object]]
NODES = ("node1", "node2", "node3")


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The sweep's overrides, but for the folder of its runs."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "deltas.yaml").write_text(yaml.safe_dump(SWEEP))
    return [f"sweep={folder / 'deltas.yaml'}", *cluster_job.overrides(folder, 30)]


@pytest.fixture
def undisturbed(tmp_path: Path) -> Undisturbed:
    """What every run of a sweep comes to on this machine, without Slurm."""

    def run(overrides: list[str]) -> dict[str, object]:
        runs = tmp_path / "undisturbed"
        done = subprocess.run([sys.executable, "-m", "sanpose.tune", *overrides, f"runs={runs}"], capture_output=True)
        assert done.returncode == 0, done.stderr
        return results(runs)

    return run


def results(runs: Path) -> dict[str, object]:
    """The metrics and the epochs' losses of every run, which must be done."""
    records, broken = ledger.read_all(runs)
    assert not broken and {r.status for r in records} == {"done"}
    return {r.id: (r.metrics, lines(r.folder, "epoch")) for r in records}


def lines(folder: Path, kind: str) -> list[dict[str, object]]:
    return [line for line in journal.read(RunPaths(folder).journal) if line["kind"] == kind]


def trains(lab: Lab, node: str) -> bool:
    """Whether a trial's process on a node has a run's journal open."""
    look = "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c metrics.jsonl || true"
    return int(lab.exec(node, ["sh", "-c", look])) > 0


def kept(runs: Path) -> int:
    """How many running runs have a checkpoint."""
    live = [r for r in ledger.read_all(runs)[0] if r.status == "running"] if runs.exists() else []
    return sum(any((r.folder / "checkpoints").glob("epoch-*")) for r in live)


def continued(runs: Path) -> int:
    notes = [str(line["text"]) for r in ledger.read_all(runs)[0] for line in lines(r.folder, "note")]
    return sum(note.startswith("resumes from checkpoint") for note in notes)


def wait(lab: Lab, job: str, done: Callable[[], bool], seconds: float = 180) -> None:
    assert until(done, seconds), lab.output(job) + lab.logs(job)


def test_a_node_is_cut_off_under_a_trial(
    lab: Lab, overrides: list[str], undisturbed: Undisturbed, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    options = ("--nodes=3", "--cpus-per-task=1", "--mem=3000", "--output=%j.out", "--time=30")
    env = {"SANPOSE_PYTHON": sys.executable, "SANPOSE_DASHBOARD": "off"}
    script = cluster_job.REPOSITORY / "slurm" / "tune.sbatch"
    job = lab.sbatch(script, *options, arguments=[*overrides, f"runs={runs}"], cwd=tmp_path, env=env)
    wait(lab, job, lambda: kept(runs) == 3)
    assert [node for node in NODES if trains(lab, node)] == list(NODES)
    lab.cut("node3")
    wait(lab, job, lambda: continued(runs) > 0)
    lab.wait(job, {"COMPLETED"}, 400)
    assert lab.details(job)["Restarts"] == "0"
    assert results(runs) == undisturbed(overrides) and continued(runs) == 1
    report = [sys.executable, "-m", "sanpose", "report", f"--runs={runs}", f"--out={tmp_path / 'report'}"]
    assert subprocess.run(report, capture_output=True, text=True).returncode == 0
    assert "deltas" in (tmp_path / "report" / "index.html").read_text()


def test_the_file_system_is_full_then_read_only(lab: Lab, overrides: list[str], undisturbed: Undisturbed) -> None:
    folder = lab.shared / "work"
    folder.mkdir()
    runs = folder / "runs"
    options = ("--nodes=2", "--cpus-per-task=1", "--mem=3000", "--output=%j.out", "--time=30")
    env = {"SANPOSE_PYTHON": sys.executable, "SANPOSE_DASHBOARD": "off"}
    script = cluster_job.REPOSITORY / "slurm" / "tune.sbatch"
    overrides = [*overrides, "train.max_failures=0"]
    job = lab.sbatch(script, *options, arguments=[*overrides, f"runs={runs}"], cwd=folder, env=env)
    wait(lab, job, lambda: kept(runs) == 2)
    for fault, seconds in ((lab.fs_full, 20), (lab.fs_readonly, 10)):  # longer than a trial takes
        fault()
        time.sleep(seconds)
        lab.fs_heal()
        done = len(list(runs.glob("*/predictions")))
        wait(lab, job, lambda before=done: len(list(runs.glob("*/predictions"))) > before)
    lab.wait(job, {"COMPLETED"}, 300)
    assert results(runs) == undisturbed(overrides) and continued(runs) == 0
    assert "is writable again" in lab.output(job) + "".join(p.read_text() for p in runs.glob("*/logs/worker-0.log"))


def test_nodes_come_as_trials_wait_and_one_of_them_is_preempted(
    lab: Lab, overrides: list[str], undisturbed: Undisturbed, tmp_path: Path
) -> None:
    runs, overrides = tmp_path / "runs", [*overrides, "train.epochs=100"]  # longer than what a preempted node has left
    (tmp_path / "lent.yaml").write_text(PROFILE)
    (tmp_path / "head.yaml").write_text(PROFILE.replace("preemptible", "cpu"))
    where = ["cluster=lent.yaml", "elastic.max_nodes=2", "elastic.head=head.yaml"]
    command = [sys.executable, "-m", "sanpose", "tune", *overrides, f"runs={runs}", *where]
    done = subprocess.run(command, cwd=tmp_path, env=lab.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (record,), _ = jobs.read_all(runs)
    job = record.job_id or ""
    wait(lab, job, lambda: kept(runs) == 3)  # one of them on the head's own core
    lent = json.loads((Path(record.folder) / "joiners.json").read_text())["jobs"]
    assert len(lent) == 2 and all(lab.details(one)["Partition"] == "preemptible" for one in lent)
    (node,) = {lab.details(one)["NodeList"] for one in lent} - {lab.details(job)["NodeList"]}
    assert trains(lab, node)
    other = lab.sbatch("#!/bin/sh\nsleep 5\n", "--partition=gpu", f"--nodelist={node}", "--exclusive")
    wait(lab, job, lambda: continued(runs) > 0)
    lab.wait(job, {"COMPLETED"}, 400)
    assert results(runs) == undisturbed(overrides) and lab.details(job)["Restarts"] == "0"
    assert until(lambda: set(lab.jobs()) <= {other}, 30), lab.jobs()
