"""A training on a real Slurm survives every fault, and ends with the weights of one that was never disturbed.

Several faults befall each job one after the other: what costs time is to start again. Those marked `faults` take too
long for every change; `make faults` runs them.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sanpose.config.compose import compose
from sanpose.runs import identity, ledger
from tests.cluster import cluster_job
from tests.slurmlab.lab import Lab

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(600)]

EPOCHS = 40  # there must be something left to train when the last fault comes


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The overrides of the run that all tests train, each into runs of its own."""
    return cluster_job.overrides(tmp_path_factory.mktemp("data"), EPOCHS)


@pytest.fixture(scope="module")
def undisturbed(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The weights' digest of the same run by so many workers (and with other overrides), trained on this machine
    without Slurm."""

    @functools.cache
    def digest(workers: int, *others: str) -> str:
        runs = tmp_path_factory.mktemp("undisturbed") / "runs"
        arguments = [*overrides, *others, f"train.workers={workers}", f"runs={runs}"]
        done = subprocess.run([sys.executable, "-m", "sanpose.train", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return cluster_job.weights(runs / identity.run_id(compose(arguments)))

    return digest


def scontrol(lab: Lab, *command: str) -> None:
    subprocess.run(["scontrol", *command], env=lab.env, check=True)


def test_a_worker_then_ray_on_a_node_then_slurms_controller_then_the_file_system(
    lab: Lab, overrides: list[str], undisturbed: Callable[..., str]
) -> None:
    job = cluster_job.train(lab, lab.shared / "work", overrides)
    job.wait_for_checkpoint(2)
    job.kill("node2", "[r]ay::RayTrainWorker")
    job.wait_for_restarts(1)
    lab.controller_stop()
    job.kill("node2", "[r]aylet/raylet")
    job.wait_for_restarts(2)
    lab.controller_start()
    for fault in (lab.fs_full, lab.fs_readonly):
        job.wait_for_checkpoint(job.reached() + 2)
        fault()
        time.sleep(8)
        assert ledger.read(job.run).status == "running"
        lab.fs_heal()
    job.ends_well()
    assert cluster_job.weights(job.run) == undisturbed(2)
    phases = [line["phase"] for line in cluster_job.phases_of(lab.shared / "work", job.number)]
    assert phases == ["allocation", "head", "workers", "first step"]


@pytest.mark.faults
def test_the_command_is_killed_then_the_heads_ray_and_a_job_follows_where_none_is_requeued(
    lab: Lab, overrides: list[str], undisturbed: Callable[..., str], tmp_path: Path
) -> None:
    job = cluster_job.train(lab, tmp_path, overrides, "--nodes=1", "--no-requeue")
    job.wait_for_checkpoint(2)
    job.kill("node1", "^[^ ]* -m [s]anpose.train")
    reached = job.wait_for_restarts(1)
    job.wait_for_checkpoint(reached + 2)
    job.kill("node1", "[g]cs/gcs_server")
    reached = job.wait_for_restarts(2)
    job.wait_for_checkpoint(reached + 2)
    follower = str(int(job.number) + 1)
    assert lab.squeue(follower) == "PENDING"
    subprocess.run(["scancel", "--signal=USR1", "--batch", job.number], env=lab.env, check=True)
    lab.wait(job.number, {"FAILED"}, 60)
    lab.wait(follower, {"COMPLETED"}, 180)
    assert ledger.read(job.run).status == "done" and cluster_job.weights(job.run) == undisturbed(1)
    job.wait_for_restarts(3)
    output = (tmp_path / f"{job.number}.out").read_text()
    assert "the command was killed (SIGKILL)" in output and "Ray has died under the command" in output
    assert not lab.jobs()


@pytest.mark.faults
def test_preempted_then_requeued_with_a_damaged_checkpoint_then_at_the_time_limit(
    lab: Lab, overrides: list[str], undisturbed: Callable[..., str], tmp_path: Path
) -> None:
    options = ("--nodes=1", "--partition=preemptible", "--signal=B:USR1@100")
    longer = f"train.epochs={3 * EPOCHS}"  # Slurm looks at time limits every 30 s
    job = cluster_job.train(lab, tmp_path, [*overrides, longer, "train.keep=20"], *options)
    job.wait_for_checkpoint(2)
    other = lab.sbatch("#!/bin/sh\nsleep 2\n", "--partition=gpu", "--nodes=3", "--exclusive")
    lab.wait(other, {"COMPLETED"}, 90)
    reached = job.wait_for_restarts(1)
    assert "SIGUSR1: the command is signalled to save a checkpoint and stop" in lab.output(job.number)

    job.wait_for_checkpoint(reached + 2)
    scontrol(lab, "requeue", job.number)
    job.until(lambda: lab.squeue(job.number) == "PENDING", 30)
    newest = max((job.run / "checkpoints").glob("epoch-*"))
    with (newest / "weights.safetensors").open("r+b") as file:
        file.truncate(100)
    job.wait_for_restarts(2)
    assert any(newest.name in note and "damaged" in note for note in job.notes())

    hours, minutes, _ = lab.details(job.number)["RunTime"].split(":")
    limit = 60 * int(hours) + int(minutes) + 2  # the warning is due now
    scontrol(lab, "update", f"JobId={job.number}", f"TimeLimit={limit}")
    job.until(lambda: lab.details(job.number)["Restarts"] == "3", 90)
    assert ledger.read(job.run).status == "interrupted"
    scontrol(lab, "update", f"JobId={job.number}", "TimeLimit=30")
    job.ends_well()
    assert cluster_job.weights(job.run) == undisturbed(1, longer)
    assert lab.output(job.number).count("is requeued") == 2


@pytest.mark.faults
def test_nodes_are_lost_one_after_the_other(
    lab: Lab, overrides: list[str], undisturbed: Callable[..., str], tmp_path: Path
) -> None:
    job = cluster_job.train(lab, tmp_path, overrides)
    job.wait_for_checkpoint(2)
    lab.slurmd_kill("node2")
    reached = job.wait_for_restarts(1)
    lab.slurmd_start("node2")
    job.wait_for_checkpoint(reached + 2)
    second = job.nodes()[1]
    lab.cut(second)
    reached = job.wait_for_restarts(2)
    lab.heal(second)
    job.wait_for_checkpoint(reached + 2)
    lab.poweroff(job.nodes()[0])
    job.ends_well()
    assert lab.details(job.number)["Restarts"] == "3" and cluster_job.weights(job.run) == undisturbed(2)
