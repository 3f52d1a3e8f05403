"""Run a command with a Ray cluster around it, in a Slurm allocation: `python -m cluster.launch -- COMMAND...`.

The launcher is the batch process, on the first node. It makes the token, starts `cluster.raycluster.node` on every node
with one srun, waits until all nodes have joined, runs the command with RAY_ADDRESS set, and ends what it started. When
Slurm warns of the time limit or of a preemption, the launcher sends SIGUSR1 to the command, which saves a checkpoint
and exits with `STOPPED`; only then the job is requeued. If the command is killed or Ray dies, the launcher runs the
command again in a new Ray cluster.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cluster import phases, printing
from cluster.errors import ClusterError
from cluster.raycluster import requeue
from cluster.raycluster.allocation import Allocation
from cluster.raycluster.container import inside
from cluster.raycluster.elastic import MAX_NODES, Joiners
from cluster.raycluster.job import RayCluster

STOPPED = 75  # the exit code of a command that has saved a checkpoint to resume from (sysexits' EX_TEMPFAIL)
_POLL_SECONDS = 0.1
_MAX_STARTS = 4  # in one allocation
_JOBS = "SANPOSE_JOBS"  # the environment variable that names the folder of the jobs' folders
_SETTLE_SECONDS = 5.0  # a driver may notice before this process that Ray has died


class _Warnings:
    """The warning signals that this process has received; the handlers only note them."""

    def __init__(self) -> None:
        self.received: list[str] = []
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self.received.append(signal.Signals(number).name)


@dataclass(frozen=True)
class Elastic:
    """Joiners, which add nodes to this job's own: the script of a joiner job, and the largest number of them."""

    script: Path
    max_joiners: int


def launch(command: Sequence[str], folder: Path, elastic: Elastic | None = None) -> int:
    """Run a command in this job's allocation; its exit code. folder: the job's own folder, which every node sees.

    Raises ClusterError, which names the nodes that did not join, when the Ray cluster does not come up.
    """
    warnings = _Warnings()
    allocation = Allocation.of(os.environ)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.environ[phases.FOLDER] = str(folder)
    phases.mark("allocation")
    chain = requeue.prepare(allocation, folder)
    try:
        code = _run_to_end(command, folder / "ray" / f"{allocation.job_id}-{allocation.restarts}", warnings, elastic)
    except ClusterError:
        requeue.settle(chain)  # the follower would fail in the same way, and have a follower too
        raise
    if code == STOPPED and warnings.received:
        requeue.again(allocation, chain)
    else:
        requeue.settle(chain)
    return code if code >= 0 else 128 - code


def _run_to_end(command: Sequence[str], prefix: Path, warnings: _Warnings, elastic: Elastic | None) -> int:
    """Run the command, and run it again if it was killed or Ray has died; the last exit code."""
    code = 1
    first = len(list(prefix.parent.glob(f"{prefix.name}-*")))  # a script may call the launcher twice in one job
    for start in range(first, first + _MAX_STARTS):
        code, broken = _start(command, prefix.with_name(f"{prefix.name}-{start}"), warnings, elastic)
        if code in (0, STOPPED) or warnings.received or not (broken or code < 0):
            break
        why = "Ray has died under the command" if broken else f"the command was killed ({signal.Signals(-code).name})"
        printing.say(f"{why}; the command is started again in a new Ray cluster")
    return code


def _start(command: Sequence[str], folder: Path, warnings: _Warnings, elastic: Elastic | None) -> tuple[int, bool]:
    """Start the Ray cluster and the command once: the exit code, and whether Ray has died."""
    with RayCluster(folder, Allocation.of(os.environ)) as cluster, ExitStack() as stack:
        head = cluster.wait(lambda: bool(warnings.received))
        variables = {}
        if head and elastic:
            joiners = Joiners(elastic.script, elastic.max_joiners, folder.parents[1], folder)
            joiners.start()
            stack.callback(joiners.end)
            variables = {MAX_NODES: str(elastic.max_joiners)}
            printing.say("the launcher waits for the first joiner")
            if not cluster.wait_for_joiner(lambda: bool(warnings.received)):
                if not warnings.received:
                    return 1, True  # the head has died
                head = None
        if not head:
            return STOPPED, False  # warned before the command was started: there is nothing to save
        printing.say(f"Ray: {head['address']}, {len(cluster.allocation.nodes)} nodes, dashboard {head['dashboard']}")
        process = subprocess.Popen(inside(list(command)), env={**os.environ, **cluster.environment(), **variables})
        try:
            code = _follow(process, cluster, warnings)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code not in (0, STOPPED):
            until = time.monotonic() + _SETTLE_SECONDS
            while not cluster.broken() and time.monotonic() < until:
                time.sleep(_POLL_SECONDS)
        return code, cluster.broken()


def _follow(process: subprocess.Popen[bytes], cluster: RayCluster, warnings: _Warnings) -> int:
    """Wait for the command and pass warnings on to it; its exit code."""
    passed_on = False
    while process.poll() is None:
        if not warnings.received:
            warnings.received += cluster.notices()
        if warnings.received and not passed_on:
            passed_on = True
            printing.say(f"{warnings.received[0]}: the command is signalled to save a checkpoint and stop")
            process.send_signal(signal.SIGUSR1)
        time.sleep(_POLL_SECONDS)
    return STOPPED if process.returncode == -signal.SIGUSR1 else process.returncode


def main() -> int:
    """`python -m cluster.launch [--folder DIR] [--elastic SCRIPT MAX_NODES] -- COMMAND...`"""
    printing.outlast_full_disk()
    arguments = sys.argv[1:]
    folder = Path(os.environ.get(_JOBS) or "runs/jobs") / os.environ.get("SLURM_JOB_ID", "none")
    if arguments[:1] == ["--folder"] and len(arguments) > 1:
        folder, arguments = Path(arguments[1]), arguments[2:]
    elastic = None
    if arguments[:1] == ["--elastic"] and len(arguments) > 2 and arguments[2].isdecimal():
        elastic, arguments = Elastic(Path(arguments[1]), int(arguments[2])), arguments[3:]
    if arguments[:1] != ["--"] or len(arguments) < 2:
        print(
            "usage: python -m cluster.launch [--folder DIR] [--elastic SCRIPT MAX_NODES] -- COMMAND...", file=sys.stderr
        )
        return 2
    try:
        return launch(arguments[1:], folder.absolute(), elastic)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
