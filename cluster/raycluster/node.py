"""One node of a job's Ray cluster: `python -m cluster.raycluster.node`, started on every node by one srun.

The first node is the head. It publishes its address in the start folder; the other nodes wait for the address. Ray runs
as a child of this process, with ports and a temporary folder of its own. This process ends only that child.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from cluster.errors import ClusterError
from cluster.files import write_atomic
from cluster.locks import lock
from cluster.raycluster.address import own_address
from cluster.raycluster.allocation import Share
from cluster.raycluster.container import inside, python
from cluster.raycluster.ports import Block, claim
from cluster.raycluster.start_folder import END, read_head, write_head, write_state

START = "SANPOSE_START_FOLDER"  # the environment variable that names the start folder
JOINS = "SANPOSE_JOINS"  # set on a node of a joiner job
NODE_LOCAL = "SANPOSE_NODE_LOCAL"
JOIN_SECONDS = "SANPOSE_JOIN_SECONDS"
DASHBOARD = "SANPOSE_DASHBOARD"  # "off" saves a dozen processes on the first node
_STARTED = "Ray runtime started"
_ALL_A_SECOND = 100  # polls of the shared file system, by all nodes of a job together
_POLL_SECONDS, _GRACE_SECONDS, _RESTART_SECONDS, _HEAD_SECONDS = 0.1, 5.0, 2.0, 600.0
_LONGEST_FOLDER = 43  # Ray's sockets are below; their paths may have 107 bytes
_PREFIX, _LOCK = "sp-", "held"


@dataclass(frozen=True)
class NodeProcess:
    """This node: its key among the nodes of the start, its name, and the start folder, which all nodes share.

    joiner: whether the node belongs to a joiner job; then its key contains the id of that job.
    """

    key: str
    head: bool
    name: str
    folder: Path
    joiner: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> NodeProcess:
        """Read the variables of a job step, and those that the launcher or `cluster.raycluster.join` has set."""
        number = environment["SLURM_NODEID"]
        joins = bool(environment.get(JOINS))
        name = environment.get("SLURMD_NODENAME") or os.uname().nodename
        key = f"{environment['SLURM_JOB_ID']}-{number}" if joins else number
        return cls(key, number == "0" and not joins, name, Path(environment[START]), joins)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"


def main() -> int:
    """Run Ray on this node until the launcher ends the start. 1 when the head's Ray has ended by itself."""
    node = NodeProcess.of(os.environ)
    signal.signal(signal.SIGTERM, lambda *_: notices.append("SIGTERM"))
    with node.log.open("ab", buffering=0) as log:
        try:
            return _serve(node, log)
        except ClusterError as error:
            log.write(f"{error}\n".encode())
            write_state(node.folder, node.key, {"name": node.name, "state": "failed", "reason": str(error)})
            return 1


notices: list[str] = []


def _examine(node: NodeProcess) -> None:
    """Raises ClusterError when this node lacks what a job needs."""
    command = [python(), "-P", "-m", "cluster.doctor", "--job", "--folder", str(node.folder.parents[1])]
    done = subprocess.run(inside(command), capture_output=True, text=True)
    if done.returncode:
        raise ClusterError(f"this node cannot run the job: {(done.stdout + done.stderr).strip()}", where=node.name)


def _serve(node: NodeProcess, log: IO[bytes]) -> int:
    log.write(f"{node.name}: checking whether this node has what the job needs\n".encode())
    _examine(node)
    share, address = Share.of(os.environ), own_address(os.environ)
    block = claim(40 + 4 * share.cpus)
    if block is None:
        raise ClusterError("this node has no block of free ports", where=node.name)
    while True:
        head = None if node.head else _head(node)
        if head is None and not node.head:
            return 0
        with _temporary(os.environ) as folder:
            ended = _ray(node, _command(share, address, block, folder, head), log, f"{address}:{block.first}", block)
        preempted = node.joiner and bool(notices)  # Slurm has signalled this node, and Ray on it
        if ended or preempted or node.head or not _head_lives(node):
            return 0 if ended or preempted else 1
        log.write(b"Ray has ended by itself on this node and is started again\n")


def _head(node: NodeProcess) -> str | None:
    """Wait for the head's address; None when the start has ended."""
    until = time.monotonic() + float(os.environ.get(JOIN_SECONDS) or _HEAD_SECONDS)
    while time.monotonic() < until:
        pass_on(node)
        if (node.folder / END).exists():
            return None
        if head := read_head(node.folder):
            return head["address"]
        time.sleep(_pause())
    raise ClusterError("the head has not published its address", where=node.folder)


def _pause() -> float:
    """Seconds between two polls of the shared file system by this node: longer on many nodes."""
    return max(_POLL_SECONDS, int(os.environ.get("SLURM_NNODES", 1)) / _ALL_A_SECOND)


def _head_lives(node: NodeProcess) -> bool:
    """Whether the head still listens, a moment after Ray has ended on this node. If not, this node cannot return to the
    start: Slurm may have given the job other nodes without being able to end this process."""
    time.sleep(_RESTART_SECONDS)
    head = read_head(node.folder)
    return head is not None and _listens(head["address"])


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_GRACE_SECONDS).close()
    except OSError:
        return False
    return True


def _ray(node: NodeProcess, command: list[str], log: IO[bytes], address: str, block: Block) -> bool:
    """Run `ray start --block`; whether the launcher has ended it."""
    write_state(node.folder, node.key, {"name": node.name, "state": "starting"})
    log_start = node.log.stat().st_size
    ray = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    published, joined, pause = not node.head, False, _pause()
    try:
        while ray.poll() is None:
            pass_on(node)
            if (node.folder / END).exists():
                return True
            if not published and _listens(address):  # the others can join while the head's Ray still starts
                published = True
                dashboard = f"http://127.0.0.1:{block.first + 1}"
                write_head(node.folder, {"address": address, "dashboard": dashboard, "node": node.name})
            if not joined and _STARTED in node.log.read_bytes()[log_start:].decode(errors="replace"):
                with contextlib.suppress(OSError):  # full or read-only for a while: the next poll tries again
                    write_state(node.folder, node.key, {"name": node.name, "state": "ready", "address": address})
                    joined = True
            time.sleep(max(0.5, pause) if joined else pause)
        with contextlib.suppress(OSError):
            write_state(node.folder, node.key, {"name": node.name, "state": "ended", "code": ray.returncode})
        return False
    finally:
        _end(ray)


def pass_on(node: NodeProcess) -> None:
    """Pass Slurm's signals to this step on to the launcher: this step may be the only one that hears of a preemption.
    A joiner passes nothing on, as the job continues without it."""
    while notices and not node.joiner:
        try:
            write_atomic(node.folder / f"notice-{node.key}", notices[-1])
        except OSError:
            return  # the shared file system is full or read-only: the next poll tries again
        notices.pop()


def _command(share: Share, address: str, block: Block, folder: str, head: str | None) -> list[str]:
    port = block.first
    memory = share.memory or psutil.virtual_memory().total
    objects = max(80 * 2**20, min(2 * 2**30, memory // 10, int(shutil.disk_usage("/dev/shm").free * 0.8)))
    options = {
        "node-ip-address": address,
        "num-cpus": share.cpus,
        "num-gpus": share.gpus,
        "memory": max(2**20, memory - objects),
        "object-store-memory": objects,
        "node-manager-port": port + 3,
        "object-manager-port": port + 4,
        "dashboard-agent-listen-port": port + 5,
        "dashboard-agent-grpc-port": port + 6,
        "runtime-env-agent-port": port + 7,
        "metrics-export-port": port + 8,
        "min-worker-port": port + 10,
        "max-worker-port": port + block.size - 1,
    }
    if head is None:
        options |= {"port": port, "dashboard-port": port + 1, "dashboard-host": "127.0.0.1", "temp-dir": folder}
        options |= {"ray-client-server-port": port + 2}
        if os.environ.get(DASHBOARD) == "off":
            options |= {"include-dashboard": "false"}
    else:
        options |= {"address": head, "temp-dir": folder}
    start = [python(), "-P", "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    kind = ["--head"] if head is None else []
    return inside([*start, *kind, *(f"--{name}={value}" for name, value in options.items())])


@contextmanager
def _temporary(environment: os._Environ[str]) -> Iterator[str]:
    """A locked folder with a short name on this node's own disk. Folders of killed processes, which are not locked, are
    removed first."""
    root = Path(environment.get(NODE_LOCAL) or "/tmp")
    for path in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ClusterError), lock(path / _LOCK, create=False):
            shutil.rmtree(path, ignore_errors=True)
    try:
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=root)
    except OSError as error:
        raise ClusterError(
            f"a temporary folder cannot be made: {error.strerror}", where=root, hint=f"{NODE_LOCAL}=/path/on/the/node"
        ) from error
    if len(folder) > _LONGEST_FOLDER:
        Path(folder).rmdir()
        raise ClusterError(
            "the path of the node's temporary folder is too long",
            where=root,
            expected=f"at most {_LONGEST_FOLDER - len(_PREFIX) - 9} characters",
            hint=f"{NODE_LOCAL}=/tmp",
        )
    with lock(Path(folder) / _LOCK, wait=True):  # the clean-up of another job may try this lock for a moment
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _end(ray: subprocess.Popen[bytes]) -> None:
    """End Ray on this node and all its processes: first with SIGTERM, then with SIGKILL."""
    try:
        children = psutil.Process(ray.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(ray.pid, number)
        if number == signal.SIGKILL:
            for process in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            ray.wait(_GRACE_SECONDS)
        children = psutil.wait_procs(children, 2.0)[1]


if __name__ == "__main__":
    sys.exit(main())
