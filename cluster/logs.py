"""What a job prints, as it comes."""

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


def state(record: JobRecord, told: JobStatus | None = None) -> str:
    """The state of a job on one line, for a person."""
    if record.job_id is None:
        return f"{record.name} was not submitted to a cluster"
    told = told or queue.look([record.job_id])[record.job_id]
    return f"job {record.job_id} is {told.state.word}" + (f" ({told.reason})" if told.reason else "")


def node_log(record: JobRecord, node: str) -> Path:
    """The newest log of a node. Raises ClusterError when there is none."""
    found = sorted(Path(record.folder).glob(f"ray/*/{node}.log"), key=lambda path: path.stat().st_mtime)
    if not found:
        there = sorted({path.stem for path in Path(record.folder).glob("ray/*/*.log")} - {"srun"})
        raise ClusterError(
            f"there is no log of '{node}'", where=record.folder, expected=f"one of: {', '.join(there) or 'none yet'}"
        )
    return found[-1]


def follow(path: Path, record: JobRecord, write: Callable[[bytes], object]) -> str:
    """Write what is added to a file until the job has ended; its state then. A job that is requeued is followed on."""
    slurm, position = Queue(), 0
    said = ""
    while True:
        told = slurm.told([record.job_id])[record.job_id] if record.job_id else None
        position = _more(path, position, write)
        if told is None or told.state.stage == "ended" or told.reason == queue.FORGOTTEN:
            _more(path, position, write)
            return state(record, told)
        line = state(record, told)
        if line != said and told.state.stage != "running":
            print(line, file=sys.stderr, flush=True)
        said = line
        time.sleep(_POLL_SECONDS)


def _more(path: Path, position: int, write: Callable[[bytes], object]) -> int:
    """Write what follows a position; the new one. A file that has become shorter is written from its beginning."""
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
