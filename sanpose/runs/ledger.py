"""The ledger: one folder per run, and the records in it.

    <root>/<id>/config.yaml       the resolved configuration
                provenance.json   the first start, and later starts in `starts`
                diff.patch        the difference from the commit at the first start (diff.1.patch, ... at later starts)
                metrics.jsonl     one line per report; the last line may be torn
                result.json       the record: status, metrics, protocol
                checkpoints/ logs/

One process, the driver, writes a run's folder. Every file except metrics.jsonl is replaced whole: a reader never sees
half a file. Knows runs and their status; does not know what the metrics mean.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

from sanpose.runs.paths import RunPaths
from sweeps.files import BrokenRecord, json_ready, parsed, read_json, to_json, write_atomic

SCHEMA = 1
STATUSES = ("done", "failed", "running", "interrupted", "pruned")
NOT_RUNS = ("sweeps", "jobs")  # folders beside those of the runs
_TAIL = 1024  # bytes; a line of progress has some 300, one of figures some 5000
_NAMED = ("schema", "id", "status", "reason", "started", "ended", "metrics", "protocol", "config")


class NoSuchRun(LookupError):  # noqa: N818 - it names what is wrong, as FileNotFound would
    """No run id, or more than one, starts with the prefix; the message lists the run ids."""


class Broken(NamedTuple):
    path: Path
    reason: str


@dataclass(frozen=True)
class RunRecord:
    """One recorded run.

    `status`: one of STATUSES; a run without result.json is "running". `epoch`: the last epoch in metrics.jsonl
    (`epoch_of`); None without a line of an epoch, and for a finished run. `changed`: when the record last changed, in
    seconds since 1970. `extra`: the other keys of the record. The values come from disk: `runs.facts` reads them.
    """

    id: str
    folder: Path
    status: str
    config: Mapping[str, object]
    changed: float
    reason: str | None = None
    started: str | None = None
    ended: str | None = None
    metrics: Mapping[str, object] = field(default_factory=dict)
    protocol: Mapping[str, object] = field(default_factory=dict)
    epoch: int | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


def create(root: Path, run_id: str, config: Mapping[str, object], provenance: Mapping[str, object]) -> Path:
    """Make a run's folder, or reopen it; returns its path.

    A later start keeps the first configuration and provenance, and appends the new provenance to `starts`. The text
    under `provenance["git"]["diff"]` goes to a patch file; the file's name replaces the text. Raises BrokenRecord
    when the existing provenance.json cannot be read.
    """
    folder, paths = root / run_id, RunPaths(root / run_id)
    for part in (paths.checkpoints, paths.logs):
        part.mkdir(parents=True, exist_ok=True)
    if not paths.config.exists():
        write_atomic(paths.config, yaml.safe_dump(json_ready(config), sort_keys=False, allow_unicode=True))
    path = paths.provenance
    if path.exists():
        first = read_json(path)
        starts = first.setdefault("starts", [])
        starts.append(_save_diff(folder, f"diff.{len(starts) + 1}.patch", provenance))
    else:
        first = {**_save_diff(folder, "diff.patch", provenance), "starts": []}
    write_atomic(path, to_json(first))
    return folder


def write_result(folder: Path, record: Mapping[str, object]) -> None:
    """Write a run's result.json, whole or not at all.

    `record`: `status` (one of STATUSES) and any of `reason`, `started`, `ended`, `metrics`, `protocol`, `config`, and
    other keys. The function adds `schema` and `id` (the folder's name), and takes a missing `config` from config.yaml.
    NumPy numbers become plain numbers, and numbers that are not finite become null. Raises ValueError
    for an unknown status, another run's id, or a failed run without a reason.
    """
    status = record.get("status")
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}, not one of {', '.join(STATUSES)}")
    if status == "failed" and not record.get("reason"):
        raise ValueError("a failed run needs a reason")
    if record.get("id", folder.name) != folder.name:
        raise ValueError(f"cannot write a record of {record['id']} into {folder}")
    paths = RunPaths(folder)
    config = record["config"] if "config" in record else _read_config(paths.config)
    write_atomic(paths.result, to_json({**record, "schema": SCHEMA, "id": folder.name, "config": config}))


def read_all(root: Path, only: Set[str] | None = None) -> tuple[list[RunRecord], list[Broken]]:
    """Every run's record below `root`, in order of id, and the folders without a readable record.

    only: read these run ids alone. Raises FileNotFoundError when `root` does not exist.
    """
    records, broken = [], []
    for name in sorted(folders(root) if only is None else only & folders(root)):
        try:
            records.append(read(root / name))
        except BrokenRecord as error:
            broken.append(Broken(error.path, error.reason))
    return records, broken


def folders(root: Path) -> set[str]:
    """The names of the runs' folders below `root`, unreadable folders included."""
    with os.scandir(root) as entries:
        return {e.name for e in entries if not e.name.startswith(".") and e.name not in NOT_RUNS and _may_be_folder(e)}


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or to a forbidden place: reading the record reports this
        return True


def read(folder: Path) -> RunRecord:
    """One run's record. Raises BrokenRecord when one of its files is absent, torn, unreadable, or malformed.

    Reads only the end of metrics.jsonl, and nothing of it for a finished run: thousands of records take seconds.
    """
    try:
        return _read(folder)
    except OSError as error:
        raise BrokenRecord(Path(error.filename or folder), f"cannot be read: {error.strerror}") from error


def _read(folder: Path) -> RunRecord:
    paths = RunPaths(folder)
    try:
        changed = paths.result.stat().st_mtime
    except FileNotFoundError:
        config, metrics = _read_config(paths.config), _stat(paths.journal)
        changed = max(s.st_mtime for s in (paths.config.stat(), metrics) if s)
        epoch = _last_epoch(paths.journal)
        return RunRecord(folder.name, folder, "running", config, changed, epoch=epoch)
    data = read_json(paths.result)
    _check(paths.result, data, folder.name)
    return RunRecord(
        id=folder.name,
        folder=folder,
        status=data["status"],
        config=data["config"],
        changed=changed,
        reason=data.get("reason"),
        started=data.get("started"),
        ended=data.get("ended"),
        metrics=data.get("metrics", {}),
        protocol=data.get("protocol", {}),
        epoch=None if data["status"] == "done" else _last_epoch(paths.journal),
        extra={key: value for key, value in data.items() if key not in _NAMED},
    )


def find(root: Path, prefix: str) -> Path:
    """The folder of the only run whose id starts with `prefix` (an exact id wins over longer ids).

    Raises NoSuchRun when no run id, or more than one, does.
    """
    names = sorted(folders(root)) if root.is_dir() else []
    if prefix in names:
        return root / prefix
    matches = [name for name in names if prefix and name.startswith(prefix)]
    if len(matches) == 1:
        return root / matches[0]
    if matches:
        raise NoSuchRun(f"'{prefix}' matches several runs: {', '.join(matches)}")
    raise NoSuchRun(f"no run id in {root} starts with '{prefix}'; run ids: {', '.join(names) or 'none'}")


def epoch_of(line: Mapping[str, object]) -> int | None:
    """The epoch of a line of metrics.jsonl, counted from 1; None for a note and for the untrained network.

    A line of kind "train" counts epochs from 0.
    """
    epoch, kind = line.get("epoch"), line.get("kind")
    if not isinstance(epoch, int) or kind in ("note", "untrained"):
        return None
    return epoch + 1 if kind == "train" else epoch


def _last_epoch(path: Path) -> int | None:
    """The last epoch in a line file, None without one. Reads a growing part of the file's end, the last line first.

    Raises BrokenRecord when a line on the way is not a JSON object. Earlier lines are not read.
    """
    if _stat(path) is None:
        return None
    with path.open("rb") as file:
        size, length = file.seek(0, os.SEEK_END), _TAIL
        while True:
            file.seek(max(0, size - length))
            lines = file.read(length).split(b"\n")[:-1]
            # The part before the first line end may be half a line.
            for line in reversed(lines if length >= size else lines[1:]):
                epoch = _epoch(path, line)
                if epoch is not None:
                    return epoch
            if length >= size:
                return None
            length *= 8


def _stat(path: Path) -> os.stat_result | None:
    """The status of a regular file, None without one. Path.is_file would also be false for an unreadable file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _epoch(path: Path, line: bytes) -> int | None:
    try:
        value = parsed(line)
    except ValueError as error:
        raise BrokenRecord(path, f"one of its last lines is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BrokenRecord(path, "one of its last lines is not a JSON object")
    return epoch_of(value)


def _check(path: Path, data: Mapping[str, object], name: str) -> None:
    if data.get("schema") != SCHEMA:
        raise BrokenRecord(path, f"schema is {data.get('schema')!r}; this program reads {SCHEMA}")
    if data.get("id") != name:
        raise BrokenRecord(path, f"the record says it is run {data.get('id')!r}")
    if data.get("status") not in STATUSES:
        raise BrokenRecord(path, f"unknown status {data.get('status')!r}")
    for key in ("config", "metrics", "protocol"):
        if not isinstance(data.get(key, None if key == "config" else {}), dict):
            raise BrokenRecord(path, f"'{key}' is not a mapping")
    for key in ("reason", "started", "ended"):
        if not isinstance(data.get(key), str | None):
            raise BrokenRecord(path, f"'{key}' is {data[key]!r}, not text")


def _save_diff(folder: Path, name: str, provenance: Mapping[str, object]) -> dict[str, object]:
    git = provenance.get("git")
    if not isinstance(git, Mapping) or not git.get("diff"):
        return dict(provenance)
    write_atomic(folder / name, str(git["diff"]))
    return {**provenance, "git": {**git, "diff": name}}


def _read_config(path: Path) -> dict[str, object]:
    try:
        value = yaml.safe_load(path.read_bytes())
    except FileNotFoundError as error:
        raise BrokenRecord(path, "is missing") from error
    except RecursionError as error:
        raise BrokenRecord(path, "cannot be read as YAML: nested too deep") from error
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: an impossible date
        raise BrokenRecord(path, f"cannot be read as YAML: {error}") from error
    if not isinstance(value, dict):
        raise BrokenRecord(path, "is not a mapping")
    return value
