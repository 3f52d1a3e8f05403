"""Submit a job to Slurm through submitit, or run the same command on this machine.

`Launch` is what runs on the first node: submitit loads it from its pickle and calls it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from submitit.core.utils import FailedJobError, FailedSubmissionError

from cluster.errors import ClusterError
from cluster.files import write_atomic
from cluster.slurm import commands, jobs
from cluster.slurm.sbatch import JOINER, joiner_text
from cluster.slurm.spec import JobSpec
from cluster.slurm.submitit_executor import Executor


class Launch:
    """What submitit runs: the launcher around a command, whose exit code becomes the job's."""

    def __init__(self, command: Sequence[str], folder: Path, max_joiners: int = 0):
        # A resubmitted job loads this pickle with the code of an older snapshot: these names must not change.
        self.command, self.folder, self.most = tuple(command), folder, max_joiners

    def __call__(self) -> int:
        for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)  # submitit's handlers ignore or requeue; the launcher sets its own
        from cluster.launch import Elastic, launch

        self._note_job(os.environ["SLURM_JOB_ID"])
        elastic = Elastic(self.folder / JOINER, self.most) if self.most else None
        try:
            code = launch(self.command, self.folder, elastic)
        except ClusterError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 2
        if code:
            raise SystemExit(code)  # another exception would print a traceback; a return value would mean success
        return code

    def _note_job(self, job_id: str) -> None:
        """Write this job's id into the record: for a follower, and where the submitter was killed before it did."""
        record = jobs.read(self.folder)
        if record.job_id != job_id:
            jobs.write(dataclasses.replace(record, job_id=job_id))


def submit(spec: JobSpec) -> str:
    """Submit a job to Slurm; its id. The job's folder must exist. Raises ClusterError with Slurm's reason when Slurm
    refuses the job."""
    errors = io.StringIO()
    try:
        if spec.joiner:
            write_atomic(spec.folder / JOINER, joiner_text(spec))
        with contextlib.redirect_stderr(errors):  # submitit prints to it what it also raises
            job = Executor(spec).submit(Launch(spec.command, spec.folder, spec.max_joiners))
    except FailedJobError as error:
        reason = commands.reason(str(error)).removeprefix("sbatch: error: ")
        raise ClusterError(
            f"Slurm refused the job: {reason}",
            where=f"cluster profile {spec.profile.name}",
            hint="`sanpose submit --dry-run` shows the script, `sacctmgr show associations user=$USER` your accounts",
        ) from error
    except FailedSubmissionError as error:
        reason = str(error).splitlines()[0]
        raise ClusterError(
            f"it is unknown whether the job was submitted: {reason}", hint="`squeue --me` shows your jobs"
        ) from error
    except OSError as error:
        raise ClusterError(f"the job cannot be submitted: {error.strerror}", where=spec.folder) from error
    return str(job.job_id)


def run_here(spec: JobSpec) -> NoReturn:
    """Replace this process by the job's command, with its snapshot of the code; without Slurm and the launcher."""
    os.chdir(spec.cwd)
    environment = {**os.environ, **({"PYTHONPATH": str(spec.snapshot)} if spec.snapshot else {})}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(spec.command[0], spec.command, environment)
