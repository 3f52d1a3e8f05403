"""The records of jobs: what was submitted, where, and as which Slurm job. Does not know what state a job is in.

<runs>/jobs/<name>/job.json     the record
                   job.out      what the job prints
                   submitit/    submitit's own files
<runs>/jobs/.code/<hash>/       snapshots of the code, see cluster.slurm.snapshot
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from cluster.errors import ClusterError
from cluster.files import write_atomic
from cluster.locks import lock
from cluster.slurm import profiles
from cluster.slurm.sbatch import OUTPUT
from cluster.slurm.spec import JobSpec

SCHEMA = 1
FOLDER = "jobs"
CODE = ".code"
FOLLOWER = "follower"  # the file with the id of the chained job, where Slurm may not requeue the job
FILE = "job.json"


class CodeVersion(TypedDict):
    """The commit that a job's code is based on (None without git), and whether the code differs from the commit."""

    commit: str | None
    dirty: bool | None


class ElasticNodes(TypedDict):
    """Up to `most` nodes that may join a job's Ray cluster, and the plain data of their profile."""

    most: int
    profile: dict[str, object]


@dataclass(frozen=True)
class JobRecord:
    """One job.

    kind and target: its purpose, such as "train" and a run id. job_id: Slurm's id; None before the submission, and for
    a job on this machine. overrides: the user's; command: what the job runs. submitted: ISO 8601, UTC.
    """

    name: str
    kind: str
    target: str
    job_id: str | None
    cluster: str
    profile: dict[str, object]
    command: tuple[str, ...]
    overrides: tuple[str, ...]
    folder: str
    cwd: str
    python: str
    submitted: str
    code: CodeVersion
    snapshot: str | None
    elastic: ElasticNodes | None = None

    @property
    def output(self) -> Path:
        return Path(self.folder) / OUTPUT

    @property
    def follower(self) -> str | None:
        """The id of the chained job, which continues this one where Slurm may not requeue it."""
        path = Path(self.folder) / FOLLOWER
        return path.read_text().strip() or None if path.exists() else None

    @property
    def ids(self) -> list[str]:
        """The Slurm job ids that belong to this record."""
        return [job for job in (self.job_id, self.follower) if job]

    def spec(self) -> JobSpec:
        """The same job, to submit again. Raises ClusterError when its profile is no longer valid."""
        profile = profiles.from_plain(self.profile)
        snapshot = Path(self.snapshot) if self.snapshot else None
        place = (Path(self.folder), Path(self.cwd), profile, snapshot, self.python)
        if not self.elastic:
            return JobSpec(self.name, self.command, *place)
        joiner = profiles.from_plain(self.elastic["profile"])
        return JobSpec(self.name, self.command, *place, joiner, self.elastic["most"])


def folder_of(runs: Path, name: str) -> Path:
    """The folder of a job of this name."""
    return runs / FOLDER / name


def write(record: JobRecord) -> None:
    """Write a job's record into its folder, whole or not at all."""
    plain = {"schema": SCHEMA, **dataclasses.asdict(record)}
    write_atomic(Path(record.folder) / FILE, json.dumps(plain, indent=1) + "\n", 0o600)


def read(folder: Path) -> JobRecord:
    """A job's record. Raises ClusterError when the file cannot be read or is no such record."""
    path = folder / FILE
    try:
        plain = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ClusterError(f"the job's record cannot be read: {error}", where=path) from error
    fields = {field.name for field in dataclasses.fields(JobRecord)}
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA or not fields <= plain.keys():
        raise ClusterError("this file is not a job's record", where=path, expected=f"schema {SCHEMA}")
    values = {name: plain[name] for name in fields}
    return JobRecord(**{**values, "command": tuple(plain["command"]), "overrides": tuple(plain["overrides"])})


def read_all(runs: Path) -> tuple[list[JobRecord], list[ClusterError]]:
    """Every job's record in a folder of runs, the last submitted first, and the errors of unreadable records."""
    records, broken = [], []
    for path in sorted((runs / FOLDER).glob(f"*/{FILE}")):
        try:
            records.append(read(path.parent))
        except ClusterError as error:
            broken.append(error)
    return sorted(records, key=lambda r: (r.submitted, int(r.job_id or 0)), reverse=True), broken


def find(runs: Path, text: str) -> JobRecord:
    """A job by its Slurm job id, its name, or a prefix of its target.

    Raises ClusterError when no job or more than one job matches.
    """
    records, _ = read_all(runs)
    for exact in ([r for r in records if text in r.ids], [r for r in records if r.name == text]):
        if exact:
            return exact[0]
    matches = [record for record in records if text and record.target.startswith(text)]
    if len(matches) == 1:
        return matches[0]
    shown = ", ".join(f"{r.name} (job {r.job_id})" for r in (matches or records)) or "none"
    raise ClusterError(
        f"'{text}' matches several jobs" if matches else f"there is no job '{text}'",
        where=runs / FOLDER,
        expected=f"one of: {shown}",
        hint=profiles.nearest(text, [r.name for r in records]),
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a job's folder, so that no other process submits into it; makes the folder. Raises ClusterError when
    another process holds the lock."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(folder / ".lock"))
        except BlockingIOError as error:
            raise ClusterError("another process is submitting this job", where=folder) from error
        yield
