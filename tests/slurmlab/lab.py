"""A Slurm of three nodes for tests: typed functions for the commands of `slurmlab`. docs/slurm-lab.md describes it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.slurmlab.requirements import SCRIPT
from tests.slurmlab.shell import LabError, run, until
from tests.slurmlab.slurm import Slurm

# The processes of every node: its keeper, its first process and the process that this waits for, slurmd.
OF_THE_NODE = ("unshare --uts", f"/bin/bash {SCRIPT.parent}/node-init", "sleep 86400", "slurmd")


class Lab(Slurm):
    """One lab, identified by its number."""

    def __init__(self, number: int, settings: Mapping[str, str | int] | None = None) -> None:
        super().__init__(Path(f"/tmp/slurmlab{number}"))
        self.number = number
        self.settings = {f"SLURMLAB_{name}": str(value) for name, value in (settings or {}).items()}
        self.guard: subprocess.Popen[bytes] | None = None

    @classmethod
    def claim(cls, settings: Mapping[str, str | int] | None = None) -> Lab:
        """The first free number, from 1 on: 0 is for a lab that people start by hand.

        Whoever makes the folder has the number.
        """
        for number in range(1, 201):
            lab = cls(number, settings)
            try:
                lab.folder.mkdir()
            except FileExistsError:
                continue
            return lab
        raise LabError(
            "each of /tmp/slurmlab1 to 200 is there; end labs that nobody uses: SLURMLAB_ID=... slurmlab down"
        )

    @classmethod
    @contextmanager
    def started(cls, **settings: str | int) -> Iterator[Lab]:
        """A separate lab while the block runs, with settings of docs/slurm-lab.md: `Lab.started(NODES=2, GRACE=1)`."""
        lab = cls.claim(settings)
        try:
            lab.up()
            yield lab
        finally:
            lab.down()

    def up(self) -> None:
        """Bring the lab up. It ends with `down`, or when this process ends, however it ends."""
        if self.guard is None:
            command = [str(SCRIPT), "down-at-eof"]
            self.guard = subprocess.Popen(
                command, env=self._script_env(), stdin=subprocess.PIPE, start_new_session=True
            )
        self._script("up")

    def down(self) -> None:
        """Remove every trace of the lab."""
        if self.guard is None:
            self._script("down")
            return
        assert self.guard.stdin is not None
        self.guard.stdin.close()
        code = self.guard.wait(timeout=60)
        self.guard = None
        if code != 0:
            raise LabError(f"slurmlab down: exit code {code}")

    def restart(self) -> None:
        """Restart the lab: no jobs, no history, an empty shared folder."""
        self._script("restart")

    def clean(self) -> None:
        """Remove everything of a test: live jobs, their processes, faults, and files in the shared folder."""
        if not self.is_tidy(patience=5.0):
            self.restart()
        for path in self.shared.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def is_tidy(self, patience: float = 0.0) -> bool:
        """No live job, no fault in force, all nodes idle and nothing running on them.

        `patience` is for what is about to end by itself, as jobs in COMPLETING are.
        """
        try:
            if self.faults() or set(self.jobs().values()) - {"COMPLETING"}:
                return False
            return until(self._is_quiet, patience)
        except LabError:
            return False

    def _is_quiet(self) -> bool:
        nodes = self.nodes()
        return set(nodes.values()) == {"idle"} and not any(self.processes(node) for node in nodes)

    def processes(self, node: str) -> list[str]:
        """The command lines of processes on a node that belong to jobs or were left behind by jobs."""
        numbers = run(["ip", "netns", "pids", f"slab{self.number}-{node}"], self.env).split()
        lines = [command_line(number) for number in numbers]
        return [line for line in lines if line and not line.startswith(OF_THE_NODE)]

    def exec(self, node: str, command: Sequence[str], timeout: float = 60) -> str:
        """Run a command on a node and return what it printed. Raises LabError when its exit code is not 0."""
        return run([str(SCRIPT), "exec", node, *command], self._script_env(), timeout=timeout)

    def start(self, node: str, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start a command on a node; its standard output also holds its errors."""
        return subprocess.Popen(
            [str(SCRIPT), "exec", node, *command],
            env=self._script_env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    # Faults

    def faults(self) -> list[str]:
        """The faults in force, in words."""
        return self._script("faults").splitlines()

    def cut(self, node: str) -> None:
        """Take a node off the network; its processes continue."""
        self._script("cut", node)

    def heal(self, node: str) -> None:
        """Put a node back on the network and have its slurmd report: slurmctld alone would need up to 45 s."""
        self._script("heal", node)

    def poweroff(self, node: str) -> None:
        """End everything on a node at once. Its sockets are closed properly; `cut` looks like a power loss."""
        self._script("poweroff", node)

    def poweron(self, node: str) -> None:
        self._script("poweron", node)

    def slurmd_kill(self, node: str) -> None:
        """kill -9 a node's slurmd; the jobs on the node continue."""
        self._script("slurmd-kill", node)

    def slurmd_start(self, node: str) -> None:
        self._script("slurmd-start", node)

    def controller_stop(self) -> None:
        """End slurmctld as an administrator does: it saves its state."""
        self._script("controller-stop")

    def controller_kill(self) -> None:
        """kill -9 slurmctld, which may not yet have saved that a job has started."""
        self._script("controller-kill")

    def controller_start(self) -> None:
        """Start slurmctld again with its saved state."""
        self._script("controller-start")

    def fs_full(self) -> None:
        """Leave no room in the shared folder."""
        self._script("fs-full")

    def fs_readonly(self) -> None:
        """Refuse to open files in the shared folder for writing; open files stay writable."""
        self._script("fs-readonly")

    def fs_heal(self) -> None:
        self._script("fs-heal")

    def _script_env(self) -> dict[str, str]:
        return {**self.env, **self.settings, "SLURMLAB_ID": str(self.number)}

    def _script(self, *arguments: str) -> str:
        return run([str(SCRIPT), *arguments], self._script_env())


def command_line(number: str) -> str:
    """The command line of a process; empty when the process has ended."""
    try:
        return Path(f"/proc/{number}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
