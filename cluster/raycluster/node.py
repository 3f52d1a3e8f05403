"""One node of a job's Ray cluster: `python -m cluster.raycluster.node`, started on every node by one srun.

The first node is the head. It publishes its address by a rename in the start's folder; the others wait for it. Ray runs
as a child of this process, in ports and a temporary folder of its own, and only that child is ever ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
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
from cluster.raycluster.address import own_address
from cluster.raycluster.allocation import Share
from cluster.raycluster.container import inside, python
from cluster.raycluster.ports import Block, claim

START = "SANPOSE_START_FOLDER"  # the environment variable that names the folder of this start of the cluster
JOINS = "SANPOSE_JOINS"  # set where the node is not of the launcher's own job
NODE_LOCAL = "SANPOSE_NODE_LOCAL"
JOIN_SECONDS = "SANPOSE_JOIN_SECONDS"
DASHBOARD = "SANPOSE_DASHBOARD"  # "off" spares the first node a dozen processes
HEAD, END = "head.json", "end"
_STARTED = "Ray runtime started"
_ALL_A_SECOND = 100  # looks at the shared file system, by all nodes of a job together
_POLL_SECONDS, _GRACE_SECONDS, _AGAIN_SECONDS, _HEAD_SECONDS = 0.1, 5.0, 2.0, 600.0
_LONGEST_FOLDER = 43  # Ray puts sockets below it, whose paths end at 107 bytes
_PREFIX = "sp-"


@dataclass(frozen=True)
class NodeProcess:
    """This node: its key among those of the start, its name, and its folder of the start, which all nodes share. A node
    that a job of its own adds has that job's number in its key."""

    key: str
    head: bool
    name: str
    folder: Path
    lent: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> NodeProcess:
        """Read a job step's variables, and those that the launcher, or `cluster.raycluster.join`, has set."""
        number = environment["SLURM_NODEID"]
        joins = bool(environment.get(JOINS))
        name = environment.get("SLURMD_NODENAME") or os.uname().nodename
        key = f"{environment['SLURM_JOB_ID']}-{number}" if joins else number
        return cls(key, number == "0" and not joins, name, Path(environment[START]), joins)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def tell(self, **values: object) -> None:
        """Publish this node's state."""
        write_atomic(self.folder / f"node-{self.key}.json", json.dumps({"name": self.name, **values}))


def main() -> int:
    """Run Ray on this node until the launcher ends the start. 1 when the head's Ray ended by itself."""
    node = NodeProcess.of(os.environ)
    signal.signal(signal.SIGTERM, lambda *_: _notices.append("SIGTERM"))
    with node.log.open("ab", buffering=0) as log:
        try:
            return _serve(node, log)
        except ClusterError as error:
            log.write(f"{error}\n".encode())
            node.tell(state="failed", reason=str(error))
            return 1


_notices: list[str] = []


def _examine(node: NodeProcess) -> None:
    """Raises ClusterError when this node lacks what a job needs."""
    command = [python(), "-P", "-m", "cluster.doctor", "--job", "--folder", str(node.folder.parents[1])]
    done = subprocess.run(inside(command), capture_output=True, text=True)
    if done.returncode:
        raise ClusterError(f"this node cannot run the job: {(done.stdout + done.stderr).strip()}", where=node.name)


def _serve(node: NodeProcess, log: IO[bytes]) -> int:
    log.write(f"{node.name}: looking whether this node has what the job needs\n".encode())
    _examine(node)
    share, address = Share.of(os.environ), own_address(os.environ)
    block = claim(40 + 4 * share.cpus)
    if block is None:
        raise ClusterError("no block of free ports is left on this node", where=node.name)
    while True:
        head = None if node.head else _head(node)
        if head is None and not node.head:
            return 0
        with _temporary(os.environ) as folder:
            ended = _ray(node, _command(share, address, block, folder, head), log, f"{address}:{block.first}", block)
        taken = node.lent and bool(_notices)  # Slurm has told this node to go, and Ray on it
        if ended or taken or node.head or not _head_lives(node):
            return 0 if ended or taken else 1
        log.write(b"Ray has ended by itself on this node; it is started again\n")


def _head(node: NodeProcess) -> str | None:
    """The head's address, as soon as it is published; None when the start has ended."""
    until = time.monotonic() + float(os.environ.get(JOIN_SECONDS) or _HEAD_SECONDS)
    while time.monotonic() < until:
        _pass_on(node)
        if (node.folder / END).exists():
            return None
        with contextlib.suppress(FileNotFoundError):
            return str(json.loads((node.folder / HEAD).read_text())["address"])
        time.sleep(_pause())
    raise ClusterError("the head has not published its address", where=node.folder)


def _pause() -> float:
    """Seconds between two looks of this node at the shared file system: on many nodes they are rarer."""
    return max(_POLL_SECONDS, int(os.environ.get("SLURM_NNODES", 1)) / _ALL_A_SECOND)


def _head_lives(node: NodeProcess) -> bool:
    """Whether the head still listens, a moment after Ray has ended on this node. Where it doesn't, there is no way back
    into this start: Slurm may have given the job other nodes, and have been unable to end this one."""
    time.sleep(_AGAIN_SECONDS)
    return _listens(str(json.loads((node.folder / HEAD).read_text())["address"]))


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_GRACE_SECONDS).close()
    except OSError:
        return False
    return True


def _ray(node: NodeProcess, command: list[str], log: IO[bytes], address: str, block: Block) -> bool:
    """Run `ray start --block`; whether it was the launcher that ended it."""
    node.tell(state="starting")
    begun = node.log.stat().st_size
    ray = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    published, joined, pause = not node.head, False, _pause()
    try:
        while ray.poll() is None:
            _pass_on(node)
            if (node.folder / END).exists():
                return True
            if not published and _listens(address):  # the others can begin to join while the head's Ray still starts
                published = True
                told = {"address": address, "dashboard": f"http://127.0.0.1:{block.first + 1}", "node": node.name}
                write_atomic(node.folder / HEAD, json.dumps(told))
            if not joined and _STARTED in node.log.read_bytes()[begun:].decode(errors="replace"):
                with contextlib.suppress(OSError):  # full or read-only for a while: at the next look
                    node.tell(state="ready", address=address)
                    joined = True
            time.sleep(max(0.5, pause) if joined else pause)
        with contextlib.suppress(OSError):
            node.tell(state="ended", code=ray.returncode)
        return False
    finally:
        _end(ray)


def _pass_on(node: NodeProcess) -> None:
    """Tell the launcher that Slurm has sent this step a signal: it may be the only one to hear of a preemption. A node
    that is lent may go, and the job that it was lent to goes on."""
    while _notices and not node.lent:
        try:
            write_atomic(node.folder / f"notice-{node.key}", _notices[-1])
        except OSError:
            return  # the shared file system is full or read-only: at the next look
        _notices.pop()


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
    """A short folder on this node's own disk, held by a lock; those whose holder was killed are removed first."""
    root = Path(environment.get(NODE_LOCAL) or "/tmp")
    for left in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (left / "held").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    try:
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=root)
    except OSError as error:
        raise ClusterError(
            f"no temporary folder can be made: {error.strerror}", where=root, hint=f"{NODE_LOCAL}=/path/on/the/node"
        ) from error
    if len(folder) > _LONGEST_FOLDER:
        Path(folder).rmdir()
        raise ClusterError(
            "the node's temporary folder has too long a name",
            where=root,
            expected=f"at most {_LONGEST_FOLDER - len(_PREFIX) - 9} characters",
            hint=f"{NODE_LOCAL}=/tmp",
        )
    with (Path(folder) / "held").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _end(ray: subprocess.Popen[bytes]) -> None:
    """End Ray on this node and all that it has started, politely first."""
    try:
        below = psutil.Process(ray.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(ray.pid, number)
        if number == signal.SIGKILL:
            for process in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            ray.wait(_GRACE_SECONDS)
        below = psutil.wait_procs(below, 2.0)[1]


if __name__ == "__main__":
    sys.exit(main())
