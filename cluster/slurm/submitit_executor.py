"""Submit a job through submitit with a script of our own.

submitit (1.5) writes its own sbatch script, with options that we cannot all choose (its `srun` line, its signals, its
output files), and has no public hook for another script or another sbatch command. So this class overrides two private
methods of `SlurmExecutor`. Check them when submitit's version changes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from submitit import SlurmExecutor

from cluster.slurm.sbatch import SUBMITIT, sbatch_text
from cluster.slurm.spec import JobSpec

# The variables of the submitting shell that a job gets: the user, the language, the module system, the proxies.
_PASSED_ON = re.compile(
    r"HOME|USER|LOGNAME|SHELL|PATH|LD_LIBRARY_PATH|LANG|LC_\w+|TZ|SLURM_CONF|MODULE\w*|LMOD\w*|LOADEDMODULES|_LMFILES_"
    r"|BASH_ENV|BASH_FUNC_\w+(%%|\(\))|(https?|no|all)_proxy|SSL_CERT_\w+"
)


class Executor(SlurmExecutor):
    """submitit's executor for one job."""

    def __init__(self, spec: JobSpec):
        super().__init__(spec.folder / SUBMITIT, python=spec.python)
        self._spec = spec

    def _make_submission_file_text(self, command: str, uid: str) -> str:  # noqa: ARG002 - submitit's signature
        return sbatch_text(self._spec)

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        """sbatch with few of this shell's variables: SBATCH_* would override the script, and RAY_* the launcher."""
        removed = [word for name in os.environ if not _PASSED_ON.fullmatch(name) for word in ("-u", name)]
        return ["env", *removed, "sbatch", str(submission_file_path)]
