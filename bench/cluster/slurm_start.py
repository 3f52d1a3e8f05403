"""From `sbatch` to the first training step on the Slurm lab: slurm/train.sbatch against a minimal script by hand.

    python -m bench.cluster.slurm_start [--rounds 3]     (as root, with Debian's Slurm)

The same two nodes and the same small training; both ways take turns in one lab. The first step is the first line of
"train" in the run's journal. Prints a Markdown table, and the phases that the launcher has noted.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import click

from bench import table
from bench.fresh import REPOSITORY
from cluster import phases
from sanpose.runs import journal
from tests.cluster import cluster_job
from tests.slurmlab.lab import Lab

WAYS = {"minimal script by hand": "bench/cluster/minimal_ray.sbatch", "slurm/train.sbatch": "slurm/train.sbatch"}


def seconds_to_first_step(lab: Lab, script: str, folder: Path, given: list[str]) -> tuple[float, str]:
    """Submit, wait for the first step, cancel; the seconds and the job's number."""
    folder.mkdir()
    overrides = [*given, f"runs={folder / 'runs'}"]
    env = {"SANPOSE_PYTHON": sys.executable, "RAY": str(Path(sys.executable).with_name("ray"))}
    begun = time.monotonic()
    options = ("--cpus-per-task=2", "--mem=3000", "--output=%j.out", "--time=10")
    job = lab.sbatch(REPOSITORY / script, *options, arguments=overrides, cwd=folder, env=env)
    while not any(_stepped(path) for path in folder.glob("runs/*/metrics.jsonl")):
        if time.monotonic() - begun > 180:
            raise click.ClickException(lab.output(job) + lab.logs(job))
        time.sleep(0.05)
    seconds = time.monotonic() - begun
    time.sleep(1)  # the launcher's own note of it
    lab.cancel(job, 60)
    return seconds, job


def _stepped(path: Path) -> bool:
    return any(line["kind"] == "train" for line in journal.read(path))


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
def main(rounds: int) -> None:
    """Measure how long a job takes to its first step."""
    with tempfile.TemporaryDirectory(prefix="slurm-start-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        given = cluster_job.overrides(folder / "data", 500)
        lab = Lab.claim({"SHARE": str(folder)})
        measured: dict[str, list[float]] = {way: [] for way in WAYS}
        last: list[tuple[str, float]] = []
        try:
            lab.up()
            for number in range(rounds):
                for way, script in WAYS.items():
                    place = folder / f"{number}-{Path(script).stem}"
                    seconds, job = seconds_to_first_step(lab, script, place, given)
                    measured[way].append(seconds)
                    last = phases.durations(place / "runs" / "jobs" / job) or last
                    lab.clean()
        finally:
            lab.down()
    base = statistics.median(measured["minimal script by hand"])
    click.echo(f"2 nodes of the lab, {os.cpu_count()} cores in all, {rounds} rounds\n")
    table.head("way", "median s", "all s", "ratio")
    for way, found in measured.items():
        median = statistics.median(found)
        table.row(way, f"{median:.1f}", " ".join(f"{s:.1f}" for s in found), f"{median / base:.2f}")
    click.echo("\nPhases of the last start: " + ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in last))


if __name__ == "__main__":
    main()
