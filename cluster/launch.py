"""Run a command with a Ray cluster around it, in a Slurm allocation: `python -m cluster.launch -- COMMAND...`.

It is the batch process, on the first node. It makes the token, starts `cluster.raycluster.node` on every node by one
srun, waits until all have joined, runs the command with RAY_ADDRESS set, and ends what it started. A warning of the
time limit or of a preemption becomes SIGUSR1 to the command, which then keeps a checkpoint and exits with `STOPPED`;
only then the job is requeued. A command that was killed, or that Ray has died under, is run again in a new Ray
cluster.
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
from cluster.raycluster.elastic import MOST, Workers
from cluster.raycluster.job import RayCluster

STOPPED = 75  # the exit code of a command that has kept a checkpoint and wants to go on (sysexits' EX_TEMPFAIL)
_POLL_SECONDS = 0.1
_STARTS = 4  # in one allocation
_JOBS = "SANPOSE_JOBS"  # the environment variable that names where the jobs' folders lie
_SETTLE_SECONDS = 5.0  # a driver may notice before this process does that Ray has gone


class _Warnings:
    """The signals that this process got: handlers only note them."""

    def __init__(self) -> None:
        self.got: list[str] = []
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self.got.append(signal.Signals(number).name)


@dataclass(frozen=True)
class Elastic:
    """Nodes beyond this job's own: the script of a job that joins with one, and how many of them there may be."""

    script: Path
    most: int


def launch(command: Sequence[str], folder: Path, elastic: Elastic | None = None) -> int:
    """Run a command in this job's allocation; its exit code. folder: the job's own, seen by every node.

    Raises ClusterError when the Ray cluster can't be brought up, naming the nodes that did not come.
    """
    warnings = _Warnings()
    allocation = Allocation.of(os.environ)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.environ[phases.FOLDER] = str(folder)
    phases.mark("allocation")
    chain = requeue.prepare(allocation, folder)
    try:
        code = _until_it_ends(command, folder / "ray" / f"{allocation.job_id}-{allocation.restarts}", warnings, elastic)
    except ClusterError:
        requeue.settle(chain)  # what follows would fail in the same way, and be followed again
        raise
    if code == STOPPED and warnings.got:
        requeue.again(allocation, chain)
    else:
        requeue.settle(chain)
    return code if code >= 0 else 128 - code


def _until_it_ends(command: Sequence[str], prefix: Path, warnings: _Warnings, elastic: Elastic | None) -> int:
    """Start the command, again when it was killed or Ray has died under it; the last exit code."""
    code = 1
    first = len(list(prefix.parent.glob(f"{prefix.name}-*")))  # a script may launch twice in one job
    for start in range(first, first + _STARTS):
        code, broken = _start(command, prefix.with_name(f"{prefix.name}-{start}"), warnings, elastic)
        if code in (0, STOPPED) or warnings.got or not (broken or code < 0):
            break
        why = "Ray has died under the command" if broken else f"the command was killed ({signal.Signals(-code).name})"
        _say(f"{why}, which is started again in a new Ray cluster")
    return code


def _start(command: Sequence[str], folder: Path, warnings: _Warnings, elastic: Elastic | None) -> tuple[int, bool]:
    """One start of the Ray cluster and of the command in it: the exit code, and whether Ray has died."""
    with RayCluster(folder, Allocation.of(os.environ)) as cluster, ExitStack() as stack:
        told = cluster.wait(lambda: bool(warnings.got))
        more = {}
        if told and elastic:
            workers = Workers(elastic.script, elastic.most, folder.parents[1], folder)
            workers.start()
            stack.callback(workers.end)
            more = {MOST: str(elastic.most)}
            _say("waiting for a first node to join")
            if not cluster.wait_for_joiner(lambda: bool(warnings.got)):
                if not warnings.got:
                    return 1, True  # the head has died
                told = None
        if not told:
            return STOPPED, False  # warned before anything was begun: nothing to keep
        _say(f"Ray: {told['address']}, {len(cluster.allocation.nodes)} nodes, dashboard {told['dashboard']}")
        process = subprocess.Popen(inside(list(command)), env={**os.environ, **cluster.environment(), **more})
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
    """Wait for the command, passing warnings on; its exit code."""
    passed_on = False
    while process.poll() is None:
        if not warnings.got:
            warnings.got += cluster.notices()
        if warnings.got and not passed_on:
            passed_on = True
            _say(f"{warnings.got[0]}: the command is asked to keep a checkpoint and stop")
            process.send_signal(signal.SIGUSR1)
        time.sleep(_POLL_SECONDS)
    return STOPPED if process.returncode == -signal.SIGUSR1 else process.returncode


def _say(text: str) -> None:
    print(f"[cluster] {text}", flush=True)


def main() -> int:
    """`python -m cluster.launch [--folder DIR] [--elastic SCRIPT MOST] -- COMMAND...`"""
    printing.outlast_full_disk()
    given = sys.argv[1:]
    folder = Path(os.environ.get(_JOBS) or "runs/jobs") / os.environ.get("SLURM_JOB_ID", "none")
    if given[:1] == ["--folder"] and len(given) > 1:
        folder, given = Path(given[1]), given[2:]
    elastic = None
    if given[:1] == ["--elastic"] and len(given) > 2 and given[2].isdecimal():
        elastic, given = Elastic(Path(given[1]), int(given[2])), given[3:]
    if given[:1] != ["--"] or len(given) < 2:
        print("usage: python -m cluster.launch [--folder DIR] [--elastic SCRIPT MOST] -- COMMAND...", file=sys.stderr)
        return 2
    try:
        return launch(given[1:], folder.absolute(), elastic)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
