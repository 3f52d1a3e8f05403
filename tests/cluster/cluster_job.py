"""Jobs for tests on the Slurm lab: the shipped scripts, with a network that trains in seconds."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster import phases
from cluster.raycluster.allocation import expand
from sanpose.config.compose import compose
from sanpose.runs import checkpoints, identity, journal, ledger
from sanpose.runs.paths import RunPaths
from tests.sanpose import tiny
from tests.slurmlab.lab import Lab

REPOSITORY = Path(__file__).parents[2]
OPTIONS = ("--cpus-per-task=2", "--mem=3000", "--signal=B:USR1@30", "--output=%j.out", "--time=30")


def overrides(data: Path, epochs: int) -> list[str]:
    """A run that takes about a second per epoch."""
    shared = [o for o in tiny.overrides(data) if not o.startswith("runs=")]
    own = [f"train.epochs={epochs}", "train.accelerator=cpu", "eval.sets=[h36m]", "eval.every=0"]
    return [*shared, *own, "train.milestones=[]"]


@dataclass
class Job:
    """A job of slurm/train.sbatch in a lab, and the run that it trains."""

    lab: Lab
    number: str
    run: Path

    def wait_for_checkpoint(self, epoch: int, timeout: float = 120) -> None:
        """Wait until a checkpoint of this epoch (1-based) or a later one is there."""
        self.until(lambda: self.reached() >= epoch, timeout)

    def reached(self) -> int:
        """The epoch of the newest checkpoint, 0 where there is none."""
        return max((int(p.name.split("-")[1]) for p in (self.run / "checkpoints").glob("epoch-*")), default=0)

    def wait_for_restarts(self, count: int, timeout: float = 120) -> int:
        """Wait until the run has been resumed from a checkpoint so many times; the epoch of the last of these."""
        self.until(lambda: len(self._continued()) >= count, timeout)
        return int(self._continued()[-1].split("epoch-")[1][:4])

    def _continued(self) -> list[str]:
        return [note for note in self.notes() if note.startswith("resumes from checkpoint")]

    def nodes(self) -> list[str]:
        """The nodes that the job has now, in order."""
        return expand(self.lab.details(self.number)["NodeList"])

    def until(self, done: Callable[[], bool], timeout: float) -> None:
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, self.lab.output(self.number) + self.lab.logs(self.number)
            time.sleep(0.1)

    def ends_well(self, timeout: float = 180) -> None:
        """Wait for the end; the run must then be done."""
        self.lab.wait(self.number, {"COMPLETED"}, timeout)
        assert ledger.read(self.run).status == "done"

    def notes(self) -> list[str]:
        return [line["text"] for line in journal.read(RunPaths(self.run).journal) if line["kind"] == "note"]

    def pids(self, node: str, pattern: str) -> list[int]:
        """Processes of a node whose command line has a pattern, by their numbers there."""
        return [int(pid) for pid in self.lab.exec(node, ["sh", "-c", f"pgrep -f '{pattern}' || true"]).split()]

    def kill(self, node: str, pattern: str) -> None:
        pids = self.pids(node, pattern)
        assert pids, f"no process with {pattern} on {node}"
        self.lab.exec(node, ["sh", "-c", f"kill -{int(signal.SIGKILL)} {' '.join(map(str, pids))} || true"])


def train(lab: Lab, folder: Path, arguments: list[str], *options: str) -> Job:
    """Submit slurm/train.sbatch from a folder that holds nothing of the project, but modules of our packages' names."""
    folder.mkdir(exist_ok=True)
    (folder / "cluster.py").write_text("raise SystemExit('a module of the user was imported')")
    (folder / "sweeps").mkdir(exist_ok=True)
    chosen = compose([*arguments, f"runs={folder / 'runs'}"])
    run = folder / "runs" / identity.run_id(chosen)
    script = REPOSITORY / "slurm" / "train.sbatch"
    env = {
        "SANPOSE_PYTHON": sys.executable,
        "SBATCH_EXPORT": "ALL",
        "SANPOSE_DASHBOARD": "off",
        "PATH": os.environ["PATH"],
    }
    arguments = [*arguments, f"runs={folder / 'runs'}"]
    number = lab.sbatch(script, *OPTIONS, *options, arguments=arguments, cwd=folder, env=env)
    return Job(lab, number, run)


def weights(run: Path) -> str:
    """The digest of a run's last weights."""
    newest, damaged = checkpoints.newest(run / "checkpoints")
    assert newest and not damaged
    return hashlib.sha256((newest.path / checkpoints.WEIGHTS).read_bytes()).hexdigest()


def phases_of(folder: Path, number: str) -> list[phases.Phase]:
    """When a job reached what, in its last start."""
    return phases.read(folder / "runs" / "jobs" / number)
