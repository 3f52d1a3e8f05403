"""What a job prints, as it prints it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from cluster.errors import ClusterError
from cluster.slurm import queue
from cluster.slurm.jobs import JobRecord
from cluster.slurm.queue import JobStatus, Queue

_POLL_SECONDS = 0.3


def state(record: JobRecord, status: JobStatus | None = None) -> str:
    """The state of a job on one line, for people."""
    if record.job_id is None:
        return f"job {record.name} was not submitted to a cluster"
    status = status or queue.look([record.job_id])[record.job_id]
    return f"job {record.job_id} is {status.state.word}" + (f" ({status.reason})" if status.reason else "")


def node_log(record: JobRecord, node: str) -> Path:
    """The newest log of a node. Raises ClusterError when the node has no log."""
    logs = sorted(Path(record.folder).glob(f"ray/*/{node}.log"), key=lambda path: path.stat().st_mtime)
    if not logs:
        nodes = sorted({path.stem for path in Path(record.folder).glob("ray/*/*.log")} - {"srun"})
        raise ClusterError(
            f"there is no log of node '{node}'",
            where=record.folder,
            expected=f"one of: {', '.join(nodes) or 'none yet'}",
        )
    return logs[-1]


def follow(path: Path, record: JobRecord, write: Callable[[bytes], object]) -> str:
    """Write what is appended to a file until the job has ended, also across a requeue; the job's final state."""
    slurm, position = Queue(), 0
    last_line = ""
    while True:
        status = slurm.statuses([record.job_id])[record.job_id] if record.job_id else None
        position = _write_new(path, position, write)
        if status is None or status.state.stage == "ended" or status.reason == queue.FORGOTTEN:
            _write_new(path, position, write)
            return state(record, status)
        line = state(record, status)
        if line != last_line and status.state.stage != "running":
            print(line, file=sys.stderr, flush=True)
        last_line = line
        time.sleep(_POLL_SECONDS)


def _write_new(path: Path, position: int, write: Callable[[bytes], object]) -> int:
    """Write a file from a position on; the new position. A file that has become shorter is written from its start."""
    if not path.exists():
        return position
    if path.stat().st_size < position:
        position = 0
    with path.open("rb") as file:
        file.seek(position)
        while block := file.read(1 << 16):
            write(block)
        sys.stdout.flush()
        return file.tell()
