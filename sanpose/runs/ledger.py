"""The ledger: one folder per run, and the records in it.

    <root>/<id>/config.yaml       the resolved configuration
                provenance.json   the first start, and the later ones in `starts`
                diff.patch        what differed from the commit at the first start (diff.1.patch, ... at later ones)
                metrics.jsonl     one line per report; its last line may be torn
                result.json       the record: status, metrics, protocol
                checkpoints/ logs/

One process, the driver, writes a run's folder. Every file but metrics.jsonl is replaced whole, so that a reader never
meets half of one. Knows trials and their state; does not know what the metrics mean.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from sweeps.files import BrokenRecord, json_ready, parsed, read_json, to_json, write_atomic

SCHEMA = 1
STATUSES = ("done", "failed", "running", "interrupted", "pruned")
NOT_RUNS = ("sweeps", "jobs")  # folders beside those of the runs
_TAIL = 1024  # bytes; a line of progress has some 300, one of figures some 5000
_NAMED = ("schema", "id", "status", "reason", "started", "ended", "metrics", "protocol", "config")


class NoSuchRun(LookupError):  # noqa: N818 - it names what is wrong, as FileNotFound would
    """No run, or more than one, begins with the given prefix; the message lists what there is."""


class Broken(NamedTuple):
    path: Path
    reason: str


@dataclass(frozen=True)
class RunRecord:
    """One run as the ledger knows it.

    `status`: one of STATUSES; a run without result.json is "running". `epoch`: the last one that metrics.jsonl tells of
    (`epoch_of`), None when it tells of none, and for a run that is done. `changed`: when the record last changed,
    seconds since 1970. `extra`: what the project wrote into the record beside the named fields.
    """

    id: str
    folder: Path
    status: str
    config: dict[str, Any]
    changed: float
    reason: str | None = None
    started: str | None = None
    ended: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    epoch: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def create(root: Path, run_id: str, config: Mapping[str, object], provenance: Mapping[str, object]) -> Path:
    """Make a run's folder, or return to it; gives its path.

    At a later start the first configuration and provenance stay, and the new provenance is appended to `starts`. The
    text under `provenance["git"]["diff"]` goes to a patch file, whose name takes its place. Raises BrokenRecord when
    the existing provenance.json cannot be read.
    """
    folder = root / run_id
    for name in ("checkpoints", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if not (folder / "config.yaml").exists():
        write_atomic(folder / "config.yaml", yaml.safe_dump(json_ready(config), sort_keys=False, allow_unicode=True))
    path = folder / "provenance.json"
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
    the project's own keys. `schema` and `id` (the folder's name) are filled in; `config` is taken from config.yaml
    where it is left out. NumPy numbers are written as plain ones, a number that isn't finite as null. Raises ValueError
    for an unknown status, another run's id, or a failed run without a reason.
    """
    status = record.get("status")
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}: one of {', '.join(STATUSES)} was expected")
    if status == "failed" and not record.get("reason"):
        raise ValueError("a failed run needs a reason")
    if record.get("id", folder.name) != folder.name:
        raise ValueError(f"a record of {record['id']} was to be written into {folder}")
    config = record["config"] if "config" in record else _read_config(folder / "config.yaml")
    write_atomic(folder / "result.json", to_json({**record, "schema": SCHEMA, "id": folder.name, "config": config}))


def read_all(root: Path, only: Set[str] | None = None) -> tuple[list[RunRecord], list[Broken]]:
    """Every run's record below `root`, in order of id, and the folders that hold none that can be read.

    only: leave out the runs that it doesn't name. Raises FileNotFoundError when `root` does not exist.
    """
    records, broken = [], []
    for name in sorted(folders(root) if only is None else only & folders(root)):
        try:
            records.append(read(root / name))
        except BrokenRecord as error:
            broken.append(Broken(error.path, error.reason))
    return records, broken


def folders(root: Path) -> set[str]:
    """The names of the runs' folders below `root`, those among them that cannot be looked into."""
    with os.scandir(root) as found:
        return {e.name for e in found if not e.name.startswith(".") and e.name not in NOT_RUNS and _may_be_folder(e)}


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # of a link in a circle, or to where nobody may look: whoever reads it says what is wrong
        return True


def read(folder: Path) -> RunRecord:
    """One run's record. Raises BrokenRecord when a file of it is absent, torn, out of reach, or not what it should be.

    Of metrics.jsonl only the end is read, and of a run that is done nothing: thousands of records take seconds.
    """
    try:
        return _read(folder)
    except OSError as error:
        raise BrokenRecord(Path(error.filename or folder), f"cannot be read: {error.strerror}") from error


def _read(folder: Path) -> RunRecord:
    result = folder / "result.json"
    try:
        changed = result.stat().st_mtime
    except FileNotFoundError:
        config, metrics = _read_config(folder / "config.yaml"), _stat(folder / "metrics.jsonl")
        changed = max(s.st_mtime for s in ((folder / "config.yaml").stat(), metrics) if s)
        epoch = _last_epoch(folder / "metrics.jsonl")
        return RunRecord(folder.name, folder, "running", config, changed, epoch=epoch)
    data = read_json(result)
    _check(result, data, folder.name)
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
        epoch=None if data["status"] == "done" else _last_epoch(folder / "metrics.jsonl"),
        extra={key: value for key, value in data.items() if key not in _NAMED},
    )


def find(root: Path, prefix: str) -> Path:
    """The folder of the one run whose id begins with `prefix` (a whole id wins over longer ones).

    Raises NoSuchRun when there is none, or more than one.
    """
    names = sorted(folders(root)) if root.is_dir() else []
    if prefix in names:
        return root / prefix
    matches = [name for name in names if prefix and name.startswith(prefix)]
    if len(matches) == 1:
        return root / matches[0]
    if matches:
        raise NoSuchRun(f"'{prefix}' could be any of: {', '.join(matches)}")
    raise NoSuchRun(f"no run in {root} begins with '{prefix}'; there are: {', '.join(names) or 'none'}")


def epoch_of(line: Mapping[str, Any]) -> int | None:
    """The epoch that a line of metrics.jsonl tells of, counted from 1: the one that it lies in, or has just ended.

    A line of kind "train" lies within an epoch that it counts from 0. A note, and what was measured before the
    training, tell of none.
    """
    epoch, kind = line.get("epoch"), line.get("kind")
    if not isinstance(epoch, int) or kind in ("note", "untrained"):
        return None
    return epoch + 1 if kind == "train" else epoch


def _last_epoch(path: Path) -> int | None:
    """The last epoch that a line file tells of, None when it tells of none. Reads a growing piece of its end, last line
    first.

    Raises BrokenRecord when a line met on the way is not a JSON object. Those before it are not looked at.
    """
    if _stat(path) is None:
        return None
    with path.open("rb") as file:
        size, length = file.seek(0, os.SEEK_END), _TAIL
        while True:
            file.seek(max(0, size - length))
            lines = file.read(length).split(b"\n")[:-1]
            # What precedes the first line end may be half a line.
            for line in reversed(lines if length >= size else lines[1:]):
                epoch = _epoch(path, line)
                if epoch is not None:
                    return epoch
            if length >= size:
                return None
            length *= 8


def _stat(path: Path) -> os.stat_result | None:
    """None where there is no such file. Path.is_file would take one that is out of reach for none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _epoch(path: Path, line: bytes) -> int | None:
    try:
        value = parsed(line)
    except ValueError as error:
        raise BrokenRecord(path, f"one of its last lines is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BrokenRecord(path, "one of its last lines is not a JSON object")
    return epoch_of(value)


def _check(path: Path, data: Mapping[str, Any], name: str) -> None:
    if data.get("schema") != SCHEMA:
        raise BrokenRecord(path, f"schema is {data.get('schema')!r}, this program reads {SCHEMA}")
    if data.get("id") != name:
        raise BrokenRecord(path, f"the record says it is run {data.get('id')!r}")
    if data.get("status") not in STATUSES:
        raise BrokenRecord(path, f"unknown status {data.get('status')!r}")
    for key in ("config", "metrics", "protocol"):
        if not isinstance(data.get(key, None if key == "config" else {}), dict):
            raise BrokenRecord(path, f"'{key}' is not a mapping")
    for key in ("reason", "started", "ended"):
        if not isinstance(data.get(key), str | None):
            raise BrokenRecord(path, f"'{key}' is {data[key]!r}: text was expected")


def _save_diff(folder: Path, name: str, provenance: Mapping[str, object]) -> dict[str, object]:
    git = provenance.get("git")
    if not isinstance(git, Mapping) or not git.get("diff"):
        return dict(provenance)
    write_atomic(folder / name, str(git["diff"]))
    return {**provenance, "git": {**git, "diff": name}}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_bytes())
    except FileNotFoundError as error:
        raise BrokenRecord(path, "is missing") from error
    except RecursionError as error:
        raise BrokenRecord(path, "cannot be read as YAML: it is nested too deep") from error
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: of a date that no calendar has
        raise BrokenRecord(path, f"cannot be read as YAML: {error}") from error
    if not isinstance(value, dict):
        raise BrokenRecord(path, "is not a mapping")
    return value
