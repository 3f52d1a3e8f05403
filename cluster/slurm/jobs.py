"""The records of jobs: what was submitted, where, as which Slurm job. Slurm says what becomes of it.

<runs>/jobs/<name>/job.json     the record
                   job.out      what the job prints
                   submitit/    submitit's own files
<runs>/jobs/.code/<hash>/       snapshots of the code, see cluster.snapshot
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.files import write_atomic
from cluster.slurm import profiles
from cluster.slurm.sbatch import OUTPUT
from cluster.slurm.spec import JobSpec

SCHEMA = 1
FOLDER = "jobs"
CODE = ".code"
FOLLOWER = "follower"  # the file with the number of the job that follows where none is requeued
_FILE = "job.json"


@dataclass(frozen=True)
class JobRecord:
    """One job. kind and target: what for, such as "train" and a run's id. job_id: Slurm's, None before the submission,
    and of a job on this machine. overrides: what was asked for; command: what is run. code: `commit` and `dirty` of the
    snapshot. submitted: ISO 8601, UTC. elastic: `most` nodes that may join, and the `profile` of theirs, or None."""

    name: str
    kind: str
    target: str
    job_id: str | None
    cluster: str
    profile: dict[str, Any]
    command: tuple[str, ...]
    overrides: tuple[str, ...]
    folder: str
    cwd: str
    python: str
    submitted: str
    code: dict[str, Any]
    snapshot: str | None
    elastic: dict[str, Any] | None = None

    @property
    def output(self) -> Path:
        return Path(self.folder) / OUTPUT

    @property
    def follower(self) -> str | None:
        """The job that goes on where this one may not be requeued; it takes its place when it begins."""
        path = Path(self.folder) / FOLLOWER
        return path.read_text().strip() or None if path.exists() else None

    @property
    def ids(self) -> list[str]:
        """Slurm's numbers that this record stands for."""
        return [job for job in (self.job_id, self.follower) if job]

    def spec(self) -> JobSpec:
        """The same job, to be submitted again. Raises ClusterError when its profile can't be used any more."""
        profile = profiles.from_plain(self.profile)
        snapshot = Path(self.snapshot) if self.snapshot else None
        place = (Path(self.folder), Path(self.cwd), profile, snapshot, self.python)
        if not self.elastic:
            return JobSpec(self.name, self.command, *place)
        joiner = profiles.from_plain(self.elastic["profile"])
        return JobSpec(self.name, self.command, *place, joiner, int(self.elastic["most"]))


def folder_of(runs: Path, name: str) -> Path:
    """The folder of a job of this name."""
    return runs / FOLDER / name


def write(record: JobRecord) -> None:
    """Write a job's record into its folder, whole or not at all."""
    told = {"schema": SCHEMA, **dataclasses.asdict(record)}
    write_atomic(Path(record.folder) / _FILE, json.dumps(told, indent=1) + "\n", 0o600)


def read(folder: Path) -> JobRecord:
    """A job's record. Raises ClusterError when it cannot be read as one."""
    path = folder / _FILE
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ClusterError(f"the job's record cannot be read: {error}", where=path) from error
    fields = {field.name for field in dataclasses.fields(JobRecord)}
    if not isinstance(told, dict) or told.get("schema") != SCHEMA or not fields <= told.keys():
        raise ClusterError("this is no record of a job", where=path, expected=f"schema {SCHEMA}")
    values = {name: told[name] for name in fields}
    return JobRecord(**{**values, "command": tuple(told["command"]), "overrides": tuple(told["overrides"])})


def read_all(runs: Path) -> tuple[list[JobRecord], list[ClusterError]]:
    """Every job's record below a folder of runs, the last submitted first, and what is wrong with the others."""
    records, broken = [], []
    for path in sorted((runs / FOLDER).glob(f"*/{_FILE}")):
        try:
            records.append(read(path.parent))
        except ClusterError as error:
            broken.append(error)
    return sorted(records, key=lambda r: (r.submitted, int(r.job_id or 0)), reverse=True), broken


def find(runs: Path, text: str) -> JobRecord:
    """The job that a person means: by Slurm's id, the job's name, or a prefix of what it is for.

    Raises ClusterError when there is none, or more than one.
    """
    records, _ = read_all(runs)
    for exact in ([r for r in records if text in r.ids], [r for r in records if r.name == text]):
        if exact:
            return exact[0]
    meant = [record for record in records if text and record.target.startswith(text)]
    if len(meant) == 1:
        return meant[0]
    shown = ", ".join(f"{r.name} (job {r.job_id})" for r in (meant or records)) or "none"
    raise ClusterError(
        f"'{text}' could be several jobs" if meant else f"there is no job '{text}'",
        where=runs / FOLDER,
        expected=f"one of: {shown}",
        hint=profiles.nearest(text, [r.name for r in records]),
    )


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a job's folder, made if need be, so that no one else submits into it. Raises ClusterError when one does."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClusterError("this job is being submitted by another process", where=folder) from error
        yield
