"""Slurm's commands for tests: with types, and with errors that show the logs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.slurmlab.requirements import SCRIPT
from tests.slurmlab.shell import LabError, run, tail, until

# A job in one of these states is live; in any other state it has ended.
LIVE = frozenset(
    {"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "SIGNALING"}
)
SETTLED = 3.0  # seconds: a requeued job can show for a moment how its first start ended


class Slurm:
    """The Slurm whose files are in a folder. Times are in seconds; states are Slurm's words (`PENDING`, `idle`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shared = folder / "shared"

    @property
    def env(self) -> dict[str, str]:
        """The environment in which Slurm's commands talk to this lab, not to a cluster that this machine belongs to."""
        outside = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))
        }
        return {**outside, "SLURM_CONF": str(self.folder / "etc" / "slurm.conf")}

    @property
    def env_with_sacct(self) -> dict[str, str]:
        """The same with a `sacct` that answers; Slurm's own `sacct` fails without accounting."""
        env = self.env
        return {**env, "PATH": f"{SCRIPT.parent}:{env['PATH']}"}

    def sbatch(
        self,
        script: str | Path,
        *options: str,
        arguments: Sequence[str] = (),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Submit a script, a file or its text, and return the job's number. Raises LabError with Slurm's words.

        Without a folder of its own it runs in the shared one; `env` is added to `self.env`.
        """
        command = ["sbatch", "--parsable", *options]
        text = None if isinstance(script, Path) else script
        if isinstance(script, Path):
            command += [str(script), *arguments]
        return run(command, {**self.env, **(env or {})}, cwd=cwd or self.shared, text=text).split(";")[0]

    def jobs(self) -> dict[str, str]:
        """The jobs that have not ended, with their states."""
        return dict(line.split() for line in self._slurm("squeue", "--noheader", "--format=%A %T").splitlines())

    def squeue(self, job: str) -> str:
        """A job's state; ended jobs are known for ten minutes. Raises LabError for a job that Slurm doesn't know."""
        return self._slurm("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")

    def details(self, job: str) -> dict[str, str]:
        """What scontrol shows about a job: `NodeList`, `Restarts`, `ExitCode`, `StdOut` and more."""
        words = self._slurm("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, job: str, states: Collection[str], timeout: float) -> str:
        """Wait until a job has one of these states and return it.

        Raises LabError with the ends of the logs, at once when the job ended in another way.
        """
        end, ended = time.monotonic() + timeout, 0.0
        wanted = " or ".join(sorted(states))
        while (state := self.squeue(job)) not in states:
            now = time.monotonic()
            ended = 0.0 if state in LIVE else ended or now
            if ended and now - ended > SETTLED:
                raise LabError(f"job {job} is {state}, expected {wanted}\n{self.logs(job)}")
            if now > end:
                raise LabError(f"job {job} is still {state} after {timeout:g} s, expected {wanted}\n{self.logs(job)}")
            time.sleep(0.1)
        return state

    def cancel(self, job: str, timeout: float = 20) -> None:
        """Cancel a job and wait until it is gone from its nodes."""
        self._slurm("scancel", job)
        self._until(f"job {job} is gone", lambda: job not in self.jobs(), timeout)

    def output(self, job: str) -> str:
        """What a job has printed so far."""
        path = Path(self.details(job)["StdOut"])
        return path.read_text(errors="replace") if path.is_file() else ""

    def logs(self, job: str | None = None) -> str:
        """The ends of the logs of Slurm, and of a job."""
        paths = sorted((self.folder / "log").glob("slurm*.log")) + sorted((self.folder / "log").glob("*.console"))
        if job is not None:
            with suppress(LabError):  # the controller may not answer; its log is one of these
                paths.append(Path(self.details(job)["StdOut"]))
        return "\n".join(tail(path) for path in paths)

    def nodes(self) -> dict[str, str]:
        """The state of each node in Slurm: `idle`, `mixed`, `down*`."""
        lines = self._slurm("sinfo", "--noheader", "--Node", "--partition=gpu", "--format=%N %T").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def wait_node(self, node: str, states: Collection[str], timeout: float) -> str:
        """Wait until a node has one of these states (without the `*` of one that does not answer). Raises LabError."""

        def arrived() -> bool:
            return self.nodes()[node].rstrip("*") in states

        self._until(f"{node} is {' or '.join(sorted(states))}", arrived, timeout)
        return self.nodes()[node].rstrip("*")

    def _until(self, what: str, done: Callable[[], bool], timeout: float) -> None:
        if not until(done, timeout):
            raise LabError(f"{what}: not within {timeout:g} s\n{self.logs()}")

    def _slurm(self, *command: str) -> str:
        return run(command, self.env)
