"""The record of a sweep: its definition, and the runs of its trials.

    <root>/sweeps/<name>/sweep.json     the definition, and the driver that runs the sweep
                         trials.jsonl   one line per trial; the last line of a number counts
                         storage        the URL of the study's database if it holds a password: for its owner only

A trial is one point of a sweep with one seed. Its run is in the ledger, and several sweeps may share a run. Figures and
states are in the records of the runs, not here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypedDict, cast, get_args, get_origin, get_type_hints

from sweeps.definition import Values
from sweeps.files import BrokenRecord, append_line, read_json, read_lines, to_json, write_atomic
from sweeps.secrecy import masked

SCHEMA = 1
FOLDER, HEAD, _TRIALS = "sweeps", "sweep.json", "trials.jsonl"
MOST_SEEDS, MOST_TRIALS = 10_000, 1_000_000  # of a sweep; a record with more is a mistake
_STORAGE = "storage"
_TRACES = {HEAD, _TRIALS, "study.log"}  # a new folder has none of them


@dataclass(frozen=True)
class TrialRecord:
    """One trial. `number`: from 0, in the order of the plan. `label`: for people, such as "delta_init 0.1". `values`:
    the point. `run`: the run id; "" if the configuration was invalid. `reason`: why the run could not be started.
    `started`: when this sweep last started the run, as the run's record says; None if the sweep took a recorded run.
    `repeats`: the number of the failed or lost trial that this trial replaces."""

    number: int
    label: str
    values: Values
    seed: int
    run: str
    reason: str | None = None
    started: str | None = None
    repeats: int | None = None


class SweepHead(TypedDict, total=False):
    """The content of sweep.json. A key may be missing; `read` leaves out values of another type.

    `search`: None for a grid. `axes`: [{"name", "values", "means"}]. `objectives`: [{"name", "direction"}]. `driver`:
    {"host", "pid", "started", "dashboard"} of the last start. `ended`: None while the sweep runs, or when its driver
    died. `planned`: the number of trials of a search. `fingerprints`: of the data files, by source. `storage`: the URL
    of the study's database, without a password. `auto`: with seeds=auto, {"max_seeds", "alpha"}; `seeds` are then those
    that every point gets.
    """

    schema: int
    name: str
    title: str
    fixed: list[object]
    axes: list[object]
    search: dict[str, object] | None
    pruner: str
    trials: int | None
    objectives: list[object]
    overrides: list[object]
    identity: str
    fingerprints: dict[str, object]
    seeds: int
    first_seed: int
    auto: dict[str, object]
    planned: int | None
    created: str
    driver: dict[str, object] | None
    ended: str | None
    storage: str


@dataclass(frozen=True)
class SweepRecord:
    """A recorded sweep."""

    name: str
    folder: Path
    head: SweepHead
    trials: tuple[TrialRecord, ...]


def _types(hint: object) -> tuple[type, ...]:
    """The types that isinstance can check, of an annotation such as `dict[str, object] | None`."""
    return tuple(get_origin(part) or part for part in (get_args(hint) if isinstance(hint, UnionType) else (hint,)))


_TRIAL_TYPES = {name: _types(hint) for name, hint in get_type_hints(TrialRecord).items()}
_HEAD_TYPES = {name: _types(hint) for name, hint in get_type_hints(SweepHead).items()}


def folder_of(root: Path, name: str) -> Path:
    return root / FOLDER / name


def names(root: Path) -> list[str]:
    """The names of the sweeps recorded below a folder of runs, in order. A sweep that has lost its sweep.json, or whose
    folder cannot be read, is included."""
    folder = root / FOLDER
    return sorted(p.name for p in folder.iterdir() if _recorded(p)) if folder.is_dir() else []


def _recorded(folder: Path) -> bool:
    try:
        return not _TRACES.isdisjoint(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # `read` reports the error
        return True


def write_head(root: Path, name: str, head: Mapping[str, object]) -> Path:
    """Write a sweep's sweep.json, whole or not at all, with the password masked; returns the sweep's folder."""
    folder = folder_of(root, name)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / HEAD, to_json({**_masked(head), "schema": SCHEMA, "name": name}))
    return folder


def keep_storage(folder: Path, url: str) -> None:
    """Write the URL of a study's database into a file that only its owner can read, if the URL holds a password."""
    path = folder / _STORAGE
    if masked(url) != url:
        write_atomic(path, url, 0o600)
    else:
        path.unlink(missing_ok=True)


def storage(sweep: SweepRecord) -> str:
    """The URL of a study's database, "" for a journal file. Raises PermissionError when another user's URL holds a
    password."""
    path = sweep.folder / _STORAGE
    return path.read_text() if path.exists() else sweep.head.get("storage", "")


def _masked(head: Mapping[str, object]) -> dict[str, object]:
    """A head without the password of the study's database, which earlier versions recorded."""
    result, search, url = dict(head), head.get("search"), head.get("storage")
    if isinstance(url, str):
        result["storage"] = masked(url)
    if isinstance(search, Mapping) and isinstance(search.get("storage"), str):
        result["search"] = {**search, "storage": masked(search["storage"])}
    return result


def append_trial(folder: Path, trial: TrialRecord) -> None:
    append_line(folder / _TRIALS, asdict(trial))


def read(root: Path, name: str) -> SweepRecord:
    """A sweep's record, with the password masked. Raises BrokenRecord when one of its files is absent, torn, or
    malformed."""
    folder = folder_of(root, name)
    head = _head(folder)
    path = folder / _TRIALS
    try:
        lines = read_lines(path)
    except FileNotFoundError:
        lines = []
    try:
        latest = {trial.number: trial for trial in map(_trial, lines)}
    except TypeError as error:
        raise BrokenRecord(path, f"a line is not a trial: {error}") from error
    return SweepRecord(name, folder, head, tuple(latest[number] for number in sorted(latest)))


def _head(folder: Path) -> SweepHead:
    path = folder / HEAD
    try:
        content = read_json(path)
    except BrokenRecord as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise BrokenRecord(folder, "sweep.json is missing") from error
        raise
    if content.get("schema") != SCHEMA:
        raise BrokenRecord(path, f"schema is {content.get('schema')!r}, this program reads {SCHEMA}")
    seeds = content.get("seeds", 1)
    if type(seeds) is not int or not 1 <= seeds <= MOST_SEEDS:
        raise BrokenRecord(path, f"seeds is {_short(seeds)}: a whole number from 1 to {MOST_SEEDS:,} was expected")
    if not isinstance(content.get("search"), dict | None):
        content["search"] = {}  # of another type, but a search and not a grid
    readable = {k: v for k, v in _masked(content).items() if isinstance(v, _HEAD_TYPES.get(k, object))}
    head = cast(SweepHead, readable)
    if _points(head) * seeds > MOST_TRIALS:
        raise BrokenRecord(path, f"its axes and seeds make more than {MOST_TRIALS:,} trials")
    return head


def _points(head: SweepHead) -> int:
    """The number of points of a grid, 0 if the record does not say."""
    if head.get("search") is not None or "axes" not in head:
        return 0
    values = [axis.get("values") if isinstance(axis, Mapping) else None for axis in head["axes"]]
    return math.prod(len(options) if isinstance(options, list) else 0 for options in values)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _trial(line: Mapping[str, Any]) -> TrialRecord:
    """Raises TypeError for a line that is not a trial."""
    trial = TrialRecord(**line)
    for name, types in _TRIAL_TYPES.items():
        if not isinstance(getattr(trial, name), types):
            raise TypeError(f"{name} is {getattr(trial, name)!r}")
    return trial
