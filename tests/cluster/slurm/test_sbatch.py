"""The script of a job, whole: a change of a line shows in the diff of a golden file."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from cluster.slurm import profiles
from cluster.slurm.sbatch import joiner_text, sbatch_text
from cluster.slurm.spec import JobSpec, Profile

GOLDEN = Path(__file__).parent / "golden"
SHIPPED = Path(__file__).parents[3] / "configs" / "cluster"


def job(profile: Profile, folder: str = "/shared/runs") -> JobSpec:
    root = Path(folder)
    return JobSpec(
        "4c1f0ab23e",
        ("/home/me/venv/bin/python", "-P", "-m", "sanpose.train", "preset=paper", "train.workers=8"),
        root / "jobs" / "4c1f0ab23e",
        Path("/home/me/project"),
        profile,
        root / "jobs" / ".code" / "0123456789",
        "/home/me/venv/bin/python",
    )


def everything() -> JobSpec:
    overrides = [
        "partition=gpu,long", "account=00123", "qos=high", "nodes=64", "gpus_per_node=8", "gpu_type=a100",
        "cpus_per_node=96", "memory_per_node=0", "time=2-00:00:00", "constraint=ib&nvme", "exclusive=true",
        "container=apptainer exec --nv --bind '/my data' image.sif", "python=/opt/venv/bin/python",
        "setup=[module load cuda/12.8, 'echo \"$HOME\" $(date) `id`']", "mail_user=me@example.org",
        "mail_events=[END, FAIL]", "warning_seconds=600", "requeue=false", "no_kill=true", "node_local=/local/scratch",
        "extra.reservation=course", "extra.spread-job=", "extra.comment=a \"quoted\" #word",
    ]  # fmt: skip
    plain = profiles.changed({}, [f"cluster.{override}" for override in overrides])
    return job(profiles.from_plain({**plain, "name": "everything"}), "/shared/my 'runs' $HOME \"here\"")


def per_cpu() -> JobSpec:
    return job(profiles.read("gpu", SHIPPED, ["cluster.memory_per_node=", "cluster.memory_per_cpu=4G"]))


def joined() -> JobSpec:
    joiner = profiles.read("preemptible", SHIPPED, ["cluster.nodes=1", "cluster.setup=[module load cuda/12.8]"])
    return dataclasses.replace(job(profiles.read("cpu", SHIPPED)), joiner=joiner, max_joiners=16)


CASES = {
    "gpu": lambda: job(profiles.read("gpu", SHIPPED)),
    "preemptible": lambda: job(profiles.read("preemptible", SHIPPED)),
    "cpu": lambda: job(profiles.read("cpu", SHIPPED)),
    "everything": everything,
    "per_cpu": per_cpu,
}


@pytest.mark.parametrize("name", CASES)
def test_the_whole_script(name: str) -> None:
    assert sbatch_text(CASES[name]()) == (GOLDEN / f"{name}.sbatch").read_text()


def test_the_whole_script_of_a_node_that_joins() -> None:
    assert joiner_text(joined()) == (GOLDEN / "joiner.sbatch").read_text()
    assert sbatch_text(joined()) == sbatch_text(CASES["cpu"]())
    subprocess.run(["bash", "-n"], input=joiner_text(joined()), text=True, check=True)


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.sbatch")} == {*CASES, "joiner"}


@pytest.mark.parametrize("name", CASES)
def test_bash_understands_it(name: str) -> None:
    subprocess.run(["bash", "-n"], input=sbatch_text(CASES[name]()), text=True, check=True)


def test_the_same_job_gives_the_same_text() -> None:
    assert sbatch_text(everything()) == sbatch_text(everything())


def test_a_setup_line_that_fails_ends_the_job_and_says_which(tmp_path: Path) -> None:
    text = sbatch_text(job(Profile("x", setup=("true", "ls /nowhere/at/all", "echo later"))))
    done = subprocess.run(["bash"], input=text, text=True, capture_output=True)
    assert done.returncode == 2
    assert "the job script failed with code 2: ls /nowhere/at/all" in done.stderr
    assert "later" not in done.stdout


def test_an_early_warning_does_not_end_the_job(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho started\n")
    python.chmod(0o755)
    spec = job(Profile("x", setup=("kill -USR1 $$", "kill -USR2 $$", f"mkdir -p {tmp_path}/w")))
    text = (
        sbatch_text(spec).replace("/home/me/venv/bin/python", str(python)).replace("/home/me/project", f"{tmp_path}/w")
    )
    assert subprocess.run(["bash"], input=text, text=True, capture_output=True, check=True).stdout == "started\n"
