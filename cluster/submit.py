"""Hand a job to Slurm through submitit, whose script is ours; or run the same command here.

What runs on the first node is `Launch`: submitit loads it from its pickle and calls it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError

from cluster.errors import ClusterError
from cluster.files import write_atomic
from cluster.slurm import commands, jobs
from cluster.slurm.sbatch import JOINER, SUBMITIT, joiner_text, sbatch_text
from cluster.slurm.spec import JobSpec

# What a job gets of the submitting shell's environment: the person, the language, the module system, the proxies.
_PASSED_ON = re.compile(
    r"HOME|USER|LOGNAME|SHELL|PATH|LD_LIBRARY_PATH|LANG|LC_\w+|TZ|SLURM_CONF|MODULE\w*|LMOD\w*|LOADEDMODULES|_LMFILES_"
    r"|BASH_ENV|BASH_FUNC_\w+(%%|\(\))|(https?|no|all)_proxy|SSL_CERT_\w+"
)


class Launch:
    """What submitit runs: the launcher around a command. Its exit code becomes the job's. most: nodes that may join."""

    def __init__(self, command: Sequence[str], folder: Path, most: int = 0):
        self.command, self.folder, self.most = tuple(command), folder, most

    def __call__(self) -> int:
        for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)  # submitit's own would swallow or requeue; the launcher sets others
        from cluster.launch import Elastic, launch

        self._note_job(os.environ["SLURM_JOB_ID"])
        elastic = Elastic(self.folder / JOINER, self.most) if self.most else None
        try:
            code = launch(self.command, self.folder, elastic)
        except ClusterError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 2
        if code:
            raise SystemExit(code)  # an exception would become a traceback, and any return a success
        return code

    def _note_job(self, job_id: str) -> None:
        """A chained job takes the place of the one that it follows; so does one whose submitter was killed too soon."""
        record = jobs.read(self.folder)
        if record.job_id != job_id:
            jobs.write(dataclasses.replace(record, job_id=job_id))


class _Executor(SlurmExecutor):  # type: ignore[misc] # submitit's own types are not read
    def __init__(self, spec: JobSpec):
        super().__init__(spec.folder / SUBMITIT, python=spec.python)
        self._spec = spec

    def _make_submission_file_text(self, command: str, uid: str) -> str:  # noqa: ARG002 - submitit's signature
        return sbatch_text(self._spec)

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        """sbatch with little of this shell's environment: SBATCH_* would overrule the script, RAY_* the launcher."""
        gone = [word for name in os.environ if not _PASSED_ON.fullmatch(name) for word in ("-u", name)]
        return ["env", *gone, "sbatch", str(submission_file_path)]


def submit(spec: JobSpec) -> str:
    """Give a job to Slurm; its id. The job's folder must be there. Raises ClusterError with Slurm's words when it is
    refused."""
    complaint = io.StringIO()
    try:
        if spec.joiner:
            write_atomic(spec.folder / JOINER, joiner_text(spec))
        with contextlib.redirect_stderr(complaint):  # submitit prints there what it also raises
            job = _Executor(spec).submit(Launch(spec.command, spec.folder, spec.most))
    except FailedJobError as error:
        reason = commands.reason(str(error)).removeprefix("sbatch: error: ")
        raise ClusterError(
            f"Slurm has refused the job: {reason}",
            where=f"cluster profile {spec.profile.name}",
            hint="`sanpose submit --dry-run` shows the script; `sacctmgr show associations user=$USER` your accounts",
        ) from error
    except FailedSubmissionError as error:
        said = str(error).splitlines()[0]
        raise ClusterError(
            f"nobody can tell what has become of the job: {said}", hint="`squeue --me` shows your jobs"
        ) from error
    except OSError as error:
        raise ClusterError(f"the job cannot be submitted: {error.strerror}", where=spec.folder) from error
    return str(job.job_id)


def run_here(spec: JobSpec) -> NoReturn:
    """Become the job's command, on this machine, with its snapshot of the code: no Slurm, no launcher."""
    os.chdir(spec.cwd)
    environment = {**os.environ, **({"PYTHONPATH": str(spec.snapshot)} if spec.snapshot else {})}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(spec.command[0], spec.command, environment)
