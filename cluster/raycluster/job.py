"""The Ray cluster of one start: its token, one srun that starts `node` on every node, and which nodes have joined."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cluster import phases
from cluster.errors import ClusterError
from cluster.files import write_atomic
from cluster.raycluster import node
from cluster.raycluster.allocation import Allocation
from cluster.raycluster.start_folder import END, TOKEN, Head, joiner_keys, read_head, read_state

_JOIN_SECONDS, _PER_NODE_SECONDS = 300.0, 2.0
_POLL_SECONDS, _NOTICE_SECONDS, _END_SECONDS = 0.1, 1.0, 30.0
_LOG_LINES = 8

_SETTINGS = {
    "RAY_worker_niceness": "0",  # the CPUs belong to this job: no other process needs precedence
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # the node's processes have been stopped before
    # Ray notices a lost node within seconds; with its default settings, within a minute.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_grpc_client_keepalive_time_ms": "2000",
    "RAY_grpc_client_keepalive_timeout_ms": "2000",
}


def srun(nodes: int) -> list[str]:
    """The command that starts `cluster.raycluster.node` on every node of this job. If one dies, the others continue."""
    command = ["srun", "--overlap", "--mem=0", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    command += ["--no-kill", "--kill-on-bad-exit=0", "--unbuffered", "--export=ALL"]
    return [*command, sys.executable, "-P", "-m", "cluster.raycluster.node"]


def node_environment(folder: Path) -> dict[str, str]:
    """The environment of `cluster.raycluster.node`: this job's, with the start folder, its token and Ray's settings."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_CPU_BIND", "SLURM_MEM_BIND"))}
    return {**own, **_SETTINGS, **authentication(folder), node.START: str(folder)}


def authentication(folder: Path) -> dict[str, str]:
    """The variables with which Ray requires the token of a start, and a client presents it."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / TOKEN)}


class RayCluster:
    """A context: on entering, the nodes start; on leaving, they end, and nothing else does. folder: of the start."""

    def __init__(self, folder: Path, allocation: Allocation):
        self.folder, self.allocation = folder, allocation
        self.token = folder / TOKEN
        self._srun: subprocess.Popen[bytes] | None = None
        self._last_poll = 0.0

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

    def wait(self, stopped: Callable[[], bool]) -> Head | None:
        """Wait until every node has joined; how to reach the head. None when `stopped` becomes true first.

        Raises ClusterError that names the nodes that did not join, with the last lines of their logs.
        """
        nodes = self.allocation.nodes
        limit = float(os.environ.get(node.JOIN_SECONDS) or _JOIN_SECONDS + _PER_NODE_SECONDS * len(nodes))
        until = time.monotonic() + limit
        head: Head | None = None
        missing = dict(enumerate(nodes))
        while True:
            if stopped():
                return None
            if head is None and (head := read_head(self.folder)):
                phases.mark("head")
            states = {number: self._state(str(number)) for number in missing}
            missing = {number: name for number, name in missing.items() if states[number] != "ready"}
            if head and not missing:
                phases.mark("workers")
                self._publish(head)
                return head
            if "failed" in states.values() or time.monotonic() > until or self._ended():
                raise self._did_not_join(list(missing.values()), limit)
            time.sleep(max(_POLL_SECONDS, len(missing) / 100))

    def wait_for_joiner(self, stopped: Callable[[], bool]) -> bool:
        """Wait, without a time limit, until a joiner has joined; False when `stopped` becomes true first."""
        while not stopped() and not self._ended():
            if any(self._state(key) == "ready" for key in joiner_keys(self.folder)):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def environment(self) -> dict[str, str]:
        """The variables with which a client connects to this cluster. The head must be up."""
        head = read_head(self.folder)
        assert head
        return {"RAY_ADDRESS": head["address"], **authentication(self.folder)}

    def notices(self) -> list[str]:
        """The signals of Slurm that nodes have passed on; polled once a second."""
        if time.monotonic() - self._last_poll < _NOTICE_SECONDS:
            return []
        self._last_poll = time.monotonic()
        return [path.read_text() for path in sorted(self.folder.glob("notice-*"))]

    def broken(self) -> bool:
        """Whether the head has ended: then no command can continue."""
        return self._ended() or self._state("0") != "ready"

    def __exit__(self, *_: object) -> None:
        assert self._srun
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # the file system is full: signals alone end it
            write_atomic(self.folder / END, "")
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

    def _publish(self, head: Head) -> None:
        """Write env.sh, which a user on another machine sources to reach this cluster."""
        variables = {**self.environment(), "RAY_API_SERVER_ADDRESS": head["dashboard"]}
        lines = [f"export {name}='{value}'\n" for name, value in variables.items()]
        write_atomic(self.folder.parents[1] / "env.sh", "".join(lines), 0o600)

    def _ended(self) -> bool:
        return self._srun is not None and self._srun.poll() is not None

    def _state(self, key: str) -> str:
        """The state that a node has published; "absent" before it publishes one."""
        state = read_state(self.folder, key)
        return state["state"] if state else "absent"

    def _did_not_join(self, missing: list[str], limit: float) -> ClusterError:
        lines = []
        for name in missing:
            log = self.folder / f"{name}.log"
            last = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else []
            lines += [f"{name}: " + ("\n    ".join(last) or "no log; the job step did not start on this node")]
        srun_lines = (self.folder / "srun.log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
        lines += [f"srun: {line}" for line in srun_lines]
        return ClusterError(
            f"{len(missing)} of {len(self.allocation.nodes)} nodes did not join Ray: {', '.join(missing)}\n  "
            + "\n  ".join(lines),
            where=self.folder,
            expected=f"every node within {limit:.0f} s",
            hint=f"`sanpose doctor`; {node.JOIN_SECONDS}=SECONDS for slow file systems",
        )
