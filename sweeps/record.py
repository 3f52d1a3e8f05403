"""The record of a sweep: what it is made of, which runs its trials stand for.

    <root>/sweeps/<name>/sweep.json     what was asked for, and by whom it is being run
                         trials.jsonl   one line per trial; the last line of a number wins
                         storage        the URL of the study's database, where a password is in it: for its owner alone

A trial is one point of a sweep with one seed, and stands for one run of the ledger; runs may be shared between sweeps.
Figures and states are in the runs' own records, not here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweeps.files import BrokenRecord, append_line, read_json, read_lines, to_json, write_atomic
from sweeps.secrecy import masked

SCHEMA = 1
FOLDER, HEAD, _TRIALS = "sweeps", "sweep.json", "trials.jsonl"
MOST_SEEDS, MOST_TRIALS = 10_000, 1_000_000  # of a sweep; a record that asks for more is a mistake
_STORAGE = "storage"
_TRACES = {HEAD, _TRIALS, "study.log"}  # a folder that has only just been made has none of them


@dataclass(frozen=True)
class TrialRecord:
    """`number`: from 0, in the order of the plan. `label`: for people, as "delta_init 0.1". `values`: the swept keys
    and their values. `run`: the ledger's id. `reason`: why no run could be begun; where not even its id could be told,
    `run` is empty. `started`: when this sweep last began the run, by the run's own record; None where it only took
    it. `repeats`: the number of the failed or lost trial that this one is in the place of."""

    number: int
    label: str
    values: dict[str, Any]
    seed: int
    run: str
    reason: str | None = None
    started: str | None = None
    repeats: int | None = None


_KINDS: dict[str, Any] = {
    "number": int,
    "label": str,
    "values": dict,
    "seed": int,
    "run": str,
    "reason": str | None,
    "started": str | None,
    "repeats": int | None,
}


@dataclass(frozen=True)
class SweepRecord:
    """`head`: the content of sweep.json. Its keys: `name`, `title`, `search` (None for a grid), `objectives` (a list of
    {"name", "direction"}), `overrides`, `seeds`, `created`, `driver` ({"host", "pid", "started", "dashboard"} of the
    last start), `ended` (None while it runs, or when it died)."""

    name: str
    folder: Path
    head: dict[str, Any]
    trials: tuple[TrialRecord, ...]


def folder_of(root: Path, name: str) -> Path:
    return root / FOLDER / name


def names(root: Path) -> list[str]:
    """The sweeps recorded below a folder of runs, in order, those among them that have lost their sweep.json or cannot
    be looked into."""
    folder = root / FOLDER
    return sorted(p.name for p in folder.iterdir() if _recorded(p)) if folder.is_dir() else []


def _recorded(folder: Path) -> bool:
    try:
        return not _TRACES.isdisjoint(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # whoever reads it says what is wrong
        return True


def write_head(root: Path, name: str, head: Mapping[str, Any]) -> Path:
    """Write a sweep's sweep.json, whole or not at all, without a password; gives the sweep's folder."""
    folder = folder_of(root, name)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / HEAD, to_json({**_shown(head), "schema": SCHEMA, "name": name}))
    return folder


def keep_storage(folder: Path, url: str) -> None:
    """Keep the URL of a study's database where only its owner can read it, if there is a password in it."""
    path = folder / _STORAGE
    if masked(url) != url:
        write_atomic(path, url, 0o600)
    else:
        path.unlink(missing_ok=True)


def storage(sweep: SweepRecord) -> str:
    """The URL of a study's database, "" where it has none. Raises PermissionError for another's that has a password."""
    path = sweep.folder / _STORAGE
    if path.exists():
        return path.read_text()
    told = sweep.head.get("storage")
    return told if isinstance(told, str) else ""


def _shown(head: Mapping[str, Any]) -> dict[str, Any]:
    """A head without the password of the study's database, which sweeps recorded before had in it."""
    found, search = dict(head), head.get("search")
    if isinstance(head.get("storage"), str):
        found["storage"] = masked(head["storage"])
    if isinstance(search, Mapping) and isinstance(search.get("storage"), str):
        found["search"] = {**search, "storage": masked(search["storage"])}
    return found


def append_trial(folder: Path, trial: TrialRecord) -> None:
    append_line(folder / _TRIALS, asdict(trial))


def read(root: Path, name: str) -> SweepRecord:
    """A sweep's record, its head without a password. Raises BrokenRecord when a file of it is absent, torn, or not what
    it should be."""
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
    return SweepRecord(name, folder, _shown(head), tuple(latest[number] for number in sorted(latest)))


def _head(folder: Path) -> dict[str, Any]:
    path = folder / HEAD
    try:
        head = read_json(path)
    except BrokenRecord as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise BrokenRecord(folder, "sweep.json is missing") from error
        raise
    if head.get("schema") != SCHEMA:
        raise BrokenRecord(path, f"schema is {head.get('schema')!r}, this program reads {SCHEMA}")
    seeds = head.get("seeds", 1)
    if type(seeds) is not int or not 1 <= seeds <= MOST_SEEDS:
        raise BrokenRecord(path, f"seeds is {_short(seeds)}: a whole number from 1 to {MOST_SEEDS:,} was expected")
    if _points(head) * seeds > MOST_TRIALS:
        raise BrokenRecord(path, f"its axes and seeds make more than {MOST_TRIALS:,} trials")
    return head


def _points(head: Mapping[str, Any]) -> int:
    """How many points a grid has, 0 where the record doesn't say."""
    axes = head.get("axes")
    if head.get("search") is not None or not isinstance(axes, list):
        return 0
    values = [axis.get("values") if isinstance(axis, Mapping) else None for axis in axes]
    return math.prod(len(found) if isinstance(found, list) else 0 for found in values)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _trial(line: Mapping[str, Any]) -> TrialRecord:
    """Raises TypeError for a line that is no trial."""
    trial = TrialRecord(**line)
    for name, kind in _KINDS.items():
        if not isinstance(getattr(trial, name), kind):
            raise TypeError(f"{name} is {getattr(trial, name)!r}")
    return trial
