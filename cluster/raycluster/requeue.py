"""How a job that has kept its checkpoint goes on: Slurm requeues it; where that is forbidden, a chained job follows.

The chained job is submitted at the start, for `afternotok`: a job that dies without a word is followed too.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from cluster.files import write_atomic
from cluster.raycluster.allocation import Allocation
from cluster.slurm import commands
from cluster.slurm.commands import NotAnsweringError
from cluster.slurm.jobs import FOLLOWER
from cluster.slurm.sbatch import SUBMITIT

# What scontrol shows of a job, and the option of sbatch that asks for it.
_OPTIONS = {
    "Partition": "partition", "Account": "account", "QOS": "qos", "TimeLimit": "time", "JobName": "job-name",
    "CPUs/Task": "cpus-per-task", "MinMemoryNode": "mem", "MinMemoryCPU": "mem-per-cpu", "StdOut": "output",
    "Features": "constraint", "Reservation": "reservation", "ExcNodeList": "exclude",
}  # fmt: skip


@dataclass(frozen=True)
class Chain:
    """The job that follows this one, or None where Slurm requeues."""

    job_id: str | None
    folder: Path | None = None


def prepare(allocation: Allocation, folder: Path) -> Chain:
    """Where this job may not be requeued, submit its follower."""
    script = folder / "chained.sbatch"
    try:
        shown = _shown(allocation.job_id)
        if not re.search(r"\bRequeue=0\b", shown):
            return Chain(None)
        commands.ask_patiently("scontrol", "write", "batch_script", allocation.job_id, str(script))
        told = commands.ask(
            "sbatch", "--parsable", f"--dependency=afternotok:{allocation.job_id}", "--kill-on-invalid-dep=yes",
            "--no-requeue", *_options(shown), str(script), *_arguments(shown),
        )  # fmt: skip
    except NotAnsweringError as error:
        _say(f"whether this job may be requeued is not known, and no job follows it: {error}")
        return Chain(None)
    except ValueError as error:
        _say(f"no job follows this one, whose arguments cannot be told apart: {error}")
        return Chain(None)
    following = told.strip().partition(";")[0]
    for pickle in (folder / SUBMITIT).glob(f"{allocation.job_id}_submitted.pkl"):  # found by the job's number
        shutil.copy2(pickle, pickle.with_name(f"{following}_submitted.pkl"))
    with contextlib.suppress(OSError):  # for a person to see; the chain holds without it
        write_atomic(folder / FOLLOWER, following)
    _say(f"this job may not be requeued: job {following} follows it, unless it ends well")
    return Chain(following, folder)


def again(allocation: Allocation, chain: Chain) -> None:
    """Requeue this job, whose checkpoint is confirmed; a job that was cancelled stays so."""
    try:
        state = re.search(r"\bJobState=(\S+)", _shown(allocation.job_id))
        if not state or state[1] != "RUNNING":
            _say(f"not requeued: the job is {state[1] if state else 'unknown to Slurm'}")
            settle(chain)
            return
        if chain.job_id:
            _say(f"job {chain.job_id} goes on")
            return
        _say("is requeued")
        commands.ask_patiently("scontrol", "requeue", allocation.job_id)
    except NotAnsweringError as error:
        _say(f"cannot be requeued: {error}")


def settle(chain: Chain) -> None:
    """This job is done, or has failed by itself: what follows is not wanted."""
    if chain.job_id and chain.folder:
        with contextlib.suppress(NotAnsweringError, OSError):
            commands.ask_patiently("scancel", chain.job_id)
            (chain.folder / FOLLOWER).unlink(missing_ok=True)


def _options(shown: str) -> list[str]:
    """The options of this job that sbatch may have been given beside the script."""
    found = {name: match[1] for name in _OPTIONS if (match := re.search(rf"(?<!\S){name}=(\S+)", shown))}
    options = [f"--{_OPTIONS[name]}={value}" for name, value in found.items() if value not in ("(null)", "N/A", "0")]
    gpus = re.search(r"(?<!\S)TresPerNode=(?:gres[:/])?(gpu\S*)", shown)
    options += [f"--gres={gpus[1]}"] if gpus else []
    return [*options, f"--nodes={os.environ['SLURM_JOB_NUM_NODES']}"]


def _arguments(shown: str) -> list[str]:
    """What followed the script's name when this job was submitted."""
    match = re.search(r"^\s*Command=(.*)$", shown, re.MULTILINE)
    return shlex.split(match[1])[1:] if match else []


def _shown(job_id: str) -> str:
    return commands.ask_patiently("scontrol", "show", "job", job_id)


def _say(text: str) -> None:
    print(f"[cluster] {text}", flush=True)
