"""The Ray cluster of one start: a token, one srun that starts `node` on every node, and who has joined."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster import phases
from cluster.errors import ClusterError
from cluster.files import write_atomic
from cluster.raycluster import node
from cluster.raycluster.allocation import Allocation

TOKEN = "token"
_JOIN_SECONDS, _PER_NODE_SECONDS = 300.0, 2.0
_POLL_SECONDS, _NOTICE_SECONDS, _END_SECONDS = 0.1, 1.0, 30.0
_LOG_LINES = 8

_SETTINGS = {
    "RAY_worker_niceness": "0",  # the CPUs are this job's: nobody is to be let by
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # what a node ran has been stopped before
    # A lost node is noticed in seconds; by Ray's own settings it takes a minute.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_grpc_client_keepalive_time_ms": "2000",
    "RAY_grpc_client_keepalive_timeout_ms": "2000",
}


def srun(nodes: int) -> list[str]:
    """The one command that starts `cluster.raycluster.node` on every node of this job; others live on when one dies."""
    command = ["srun", "--overlap", "--mem=0", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    command += ["--no-kill", "--kill-on-bad-exit=0", "--unbuffered", "--export=ALL"]
    return [*command, sys.executable, "-P", "-m", "cluster.raycluster.node"]


def node_environment(folder: Path) -> dict[str, str]:
    """What `cluster.raycluster.node` runs in: this job's environment, the start's folder and token, Ray's settings."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_CPU_BIND", "SLURM_MEM_BIND"))}
    return {**own, **_SETTINGS, **authentication(folder), node.START: str(folder)}


def authentication(folder: Path) -> dict[str, str]:
    """The variables that make Ray ask for the start's token, and give it."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / TOKEN)}


class RayCluster:
    """A context: on entering, the nodes start; on leaving, they end, and nothing else does. folder: of this start."""

    def __init__(self, folder: Path, allocation: Allocation):
        self.folder, self.allocation = folder, allocation
        self.token = folder / TOKEN
        self._srun: subprocess.Popen[bytes] | None = None
        self._looked = 0.0

    def __enter__(self) -> RayCluster:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self.token, secrets.token_hex(32), 0o600)
        with (self.folder / "srun.log").open("ab") as log:
            self._srun = subprocess.Popen(
                srun(len(self.allocation.nodes)),
                env=node_environment(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def wait(self, given_up: Callable[[], bool]) -> dict[str, Any] | None:
        """What the head has published, once every node has joined; None when `given_up` says so first.

        Raises ClusterError naming the nodes that did not come, with the end of their logs.
        """
        nodes = self.allocation.nodes
        limit = float(os.environ.get(node.JOIN_SECONDS) or _JOIN_SECONDS + _PER_NODE_SECONDS * len(nodes))
        until = time.monotonic() + limit
        head: dict[str, Any] | None = None
        missing = dict(enumerate(nodes))
        while True:
            if given_up():
                return None
            if head is None and (head := self._read(node.HEAD)):
                phases.mark("head")
            states = {number: self._state(number) for number in missing}
            missing = {number: name for number, name in missing.items() if states[number] != "ready"}
            if head and not missing:
                phases.mark("workers")
                self._publish(head)
                return head
            if "failed" in states.values() or time.monotonic() > until or self._ended():
                raise self._did_not_come(list(missing.values()), limit)
            time.sleep(max(_POLL_SECONDS, len(missing) / 100))

    def wait_for_joiner(self, given_up: Callable[[], bool]) -> bool:
        """Wait until a node of another job has joined, however long the queue is; False when `given_up` comes first."""
        while not given_up() and not self._ended():
            for path in self.folder.glob("node-*-*.json"):
                if (told := self._read(path.name)) and told["state"] == "ready":
                    return True
            time.sleep(_POLL_SECONDS)
        return False

    def environment(self) -> dict[str, str]:
        """The variables with which a client of this cluster finds it and is let in."""
        head = self._read(node.HEAD) or {}
        return {"RAY_ADDRESS": str(head["address"]), **authentication(self.folder)}

    def notices(self) -> list[str]:
        """The signals that nodes say Slurm has sent them; looked for once a second."""
        if time.monotonic() - self._looked < _NOTICE_SECONDS:
            return []
        self._looked = time.monotonic()
        return [path.read_text() for path in sorted(self.folder.glob("notice-*"))]

    def broken(self) -> bool:
        """Whether the head has gone: then no command can go on."""
        return self._ended() or self._state(0) != "ready"

    def __exit__(self, *_: object) -> None:
        assert self._srun
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # a file system that is full: by signals alone
            write_atomic(self.folder / node.END, "")
            self._srun.wait(_END_SECONDS)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._srun.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._srun.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._srun.wait(10)
        for path in (self.token, self.folder.parents[1] / "env.sh"):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _publish(self, head: dict[str, Any]) -> None:
        """For a person on another machine: what to source to reach this cluster."""
        told = {**self.environment(), "RAY_API_SERVER_ADDRESS": str(head["dashboard"])}
        lines = [f"export {name}='{value}'\n" for name, value in told.items()]
        write_atomic(self.folder.parents[1] / "env.sh", "".join(lines), 0o600)

    def _ended(self) -> bool:
        return self._srun is not None and self._srun.poll() is not None

    def _state(self, number: int) -> str:
        """What a node of this job says of itself: "absent" until it says anything."""
        told = self._read(f"node-{number}.json")
        return str(told["state"]) if told else "absent"

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            told: dict[str, Any] = json.loads((self.folder / name).read_text())
        except FileNotFoundError:
            return None
        return told

    def _did_not_come(self, missing: list[str], limit: float) -> ClusterError:
        lines = []
        for name in missing:
            log = self.folder / f"{name}.log"
            last = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else []
            lines += [f"{name}: " + ("\n    ".join(last) or "it has written no log: the step did not start there")]
        said = (self.folder / "srun.log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
        lines += [f"srun: {line}" for line in said]
        return ClusterError(
            f"{len(missing)} of {len(self.allocation.nodes)} nodes did not join Ray: {', '.join(missing)}\n  "
            + "\n  ".join(lines),
            where=self.folder,
            expected=f"every node within {limit:.0f} s",
            hint=f"`sanpose doctor`; {node.JOIN_SECONDS}=SECONDS for slow file systems",
        )
