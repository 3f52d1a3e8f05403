"""How a job resumes after it has saved a checkpoint: Slurm requeues it, or a chained job follows where Slurm may not.

The chained job is submitted at the start with the dependency `afternotok`, so that it also follows a job that dies
without notice.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from cluster import printing
from cluster.files import write_atomic
from cluster.raycluster.allocation import Allocation
from cluster.slurm import commands
from cluster.slurm.commands import NotAnsweringError
from cluster.slurm.jobs import FOLLOWER
from cluster.slurm.sbatch import SUBMITIT

# The fields of a job in scontrol's output, and the sbatch options that set them.
_OPTIONS = {
    "Partition": "partition", "Account": "account", "QOS": "qos", "TimeLimit": "time", "JobName": "job-name",
    "CPUs/Task": "cpus-per-task", "MinMemoryNode": "mem", "MinMemoryCPU": "mem-per-cpu", "StdOut": "output",
    "Features": "constraint", "Reservation": "reservation", "ExcNodeList": "exclude",
}  # fmt: skip


@dataclass(frozen=True)
class Chain:
    """The job that follows this one; None where Slurm requeues this job."""

    job_id: str | None
    folder: Path | None = None


def prepare(allocation: Allocation, folder: Path) -> Chain:
    """Submit a follower where Slurm may not requeue this job."""
    script = folder / "chained.sbatch"
    try:
        shown = _shown(allocation.job_id)
        if not re.search(r"\bRequeue=0\b", shown):
            return Chain(None)
        commands.ask_patiently("scontrol", "write", "batch_script", allocation.job_id, str(script))
        reply = commands.ask(
            "sbatch", "--parsable", f"--dependency=afternotok:{allocation.job_id}", "--kill-on-invalid-dep=yes",
            "--no-requeue", *_options(shown), str(script), *_arguments(shown),
        )  # fmt: skip
    except NotAnsweringError as error:
        printing.say(f"no follower is submitted, as it is unknown whether Slurm may requeue this job: {error}")
        return Chain(None)
    except ValueError as error:
        printing.say(f"no follower is submitted, as this job's arguments cannot be parsed: {error}")
        return Chain(None)
    follower = reply.strip().partition(";")[0]
    for pickle in (folder / SUBMITIT).glob(f"{allocation.job_id}_submitted.pkl"):  # submitit finds it by the job id
        shutil.copy2(pickle, pickle.with_name(f"{follower}_submitted.pkl"))
    with contextlib.suppress(OSError):  # only for display; the chain works without it
        write_atomic(folder / FOLLOWER, follower)
    printing.say(f"Slurm may not requeue this job: job {follower} follows it unless it succeeds")
    return Chain(follower, folder)


def again(allocation: Allocation, chain: Chain) -> None:
    """Requeue this job after it has saved a checkpoint; a cancelled job is not requeued."""
    try:
        state = re.search(r"\bJobState=(\S+)", _shown(allocation.job_id))
        if not state or state[1] != "RUNNING":
            printing.say(f"the job is not requeued: it is {state[1] if state else 'unknown to Slurm'}")
            settle(chain)
            return
        if chain.job_id:
            printing.say(f"job {chain.job_id} resumes this job's work")
            return
        printing.say("the job is requeued")
        commands.ask_patiently("scontrol", "requeue", allocation.job_id)
    except NotAnsweringError as error:
        printing.say(f"the job cannot be requeued: {error}")


def settle(chain: Chain) -> None:
    """Cancel the follower: this job is done, or would fail again."""
    if chain.job_id and chain.folder:
        with contextlib.suppress(NotAnsweringError, OSError):
            commands.ask_patiently("scancel", chain.job_id)
            (chain.folder / FOLLOWER).unlink(missing_ok=True)


def _options(shown: str) -> list[str]:
    """The options of this job that may have been on sbatch's command line instead of in the script."""
    values = {name: match[1] for name in _OPTIONS if (match := re.search(rf"(?<!\S){name}=(\S+)", shown))}
    options = [f"--{_OPTIONS[name]}={value}" for name, value in values.items() if value not in ("(null)", "N/A", "0")]
    gpus = re.search(r"(?<!\S)TresPerNode=(?:gres[:/])?(gpu\S*)", shown)
    options += [f"--gres={gpus[1]}"] if gpus else []
    return [*options, f"--nodes={os.environ['SLURM_JOB_NUM_NODES']}"]


def _arguments(shown: str) -> list[str]:
    """The arguments after the script's name when this job was submitted."""
    match = re.search(r"^\s*Command=(.*)$", shown, re.MULTILINE)
    return shlex.split(match[1])[1:] if match else []


def _shown(job_id: str) -> str:
    return commands.ask_patiently("scontrol", "show", "job", job_id)
