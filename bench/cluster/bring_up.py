"""How Ray's start in a job grows with the number of nodes, on the Slurm lab: the launcher around a command that does
nothing.

    python -m bench.cluster.bring_up [--nodes 1 --nodes 4 --nodes 16]     (as root, with Debian's Slurm)

The lab's nodes share this machine's cores, so the seconds grow with the nodes; on a cluster every node has cores of its
own. What tells of a cluster is the processor time per node: where it stays the same, no node waits for the work of the
others. Prints a Markdown table.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click

from bench import table
from bench.fresh import REPOSITORY
from cluster import phases
from tests.slurmlab.lab import Lab

JOB = f"""#!/bin/bash
cd {REPOSITORY}
exec {sys.executable} -m cluster.launch --folder "$FOLDER" -- true
"""


def processor_seconds() -> float:
    """Of all processes of this machine since it started."""
    user, nice, system = (int(word) for word in Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def start(nodes: int, folder: Path) -> tuple[dict[str, float], float]:
    """Seconds of each phase, and the machine's processor seconds from the job's submission to its end."""
    with Lab.started(NODES=nodes, SHARE=str(folder.parent)) as lab:
        options = (f"--nodes={nodes}", "--ntasks-per-node=1", "--cpus-per-task=1", "--mem=2000", "--output=/dev/null")
        env = {"FOLDER": str(folder), "SANPOSE_DASHBOARD": "off"}
        before = processor_seconds()
        lab.wait(lab.sbatch(JOB, *options, env=env), {"COMPLETED"}, 120 + 10 * nodes)
        return dict(phases.durations(folder)), processor_seconds() - before


@click.command()
@click.option("--nodes", "counts", multiple=True, default=(1, 4, 16), show_default=True, type=click.IntRange(1, 240))
def main(counts: tuple[int, ...]) -> None:
    """Measure how long Ray takes to start in jobs of so many nodes."""
    click.echo(f"the launcher around `true`; all nodes share {os.cpu_count()} cores\n")
    table.head("nodes", "head s", "all joined after s", "processor s", "a node")
    for nodes in counts:
        with tempfile.TemporaryDirectory(prefix="bring-up-") as name:
            took, spent = start(nodes, Path(name) / "job")
        joined = took["head"] + took["workers"]
        table.row(str(nodes), f"{took['head']:.1f}", f"{joined:.1f}", f"{spent:.1f}", f"{spent / nodes:.1f}")


if __name__ == "__main__":
    main()
