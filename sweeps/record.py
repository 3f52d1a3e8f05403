"""The record of a sweep: what it is made of, which runs its trials stand for.

    <root>/sweeps/<name>/sweep.json     what was asked for, and by whom it is being run
                         trials.jsonl   one line per trial; the last line of a number wins
                         storage        the URL of the study's database, where a password is in it: for its owner alone

A trial is one point of a sweep with one seed, and stands for one run of the ledger; runs may be shared between sweeps.
Figures and states are in the runs' own records, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweeps.files import BrokenRecord, append_line, read_json, read_lines, to_json, write_atomic
from sweeps.secrecy import masked

SCHEMA = 1
FOLDER = "sweeps"
_STORAGE = "storage"


@dataclass(frozen=True)
class Trial:
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
class Sweep:
    """`head`: the content of sweep.json. Its keys: `name`, `title`, `search` (None for a grid), `objectives` (a list of
    {"name", "direction"}), `overrides`, `seeds`, `created`, `driver` ({"host", "pid", "started", "dashboard"} of the
    last start), `ended` (None while it runs, or when it died)."""

    name: str
    folder: Path
    head: dict[str, Any]
    trials: tuple[Trial, ...]


def folder_of(root: Path, name: str) -> Path:
    return root / FOLDER / name


def names(root: Path) -> list[str]:
    """The sweeps recorded below a folder of runs, in order."""
    folder = root / FOLDER
    return sorted(p.name for p in folder.iterdir() if (p / "sweep.json").is_file()) if folder.is_dir() else []


def write_head(root: Path, name: str, head: Mapping[str, Any]) -> Path:
    """Write a sweep's sweep.json, whole or not at all, without a password; gives the sweep's folder."""
    folder = folder_of(root, name)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "sweep.json", to_json({**_shown(head), "schema": SCHEMA, "name": name}))
    return folder


def keep_storage(folder: Path, url: str) -> None:
    """Keep the URL of a study's database where only its owner can read it, if there is a password in it."""
    path = folder / _STORAGE
    if masked(url) != url:
        write_atomic(path, url, 0o600)
    else:
        path.unlink(missing_ok=True)


def storage(sweep: Sweep) -> str:
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


def append_trial(folder: Path, trial: Trial) -> None:
    append_line(folder / "trials.jsonl", asdict(trial))


def read(root: Path, name: str) -> Sweep:
    """A sweep's record, its head without a password. Raises BrokenRecord when a file of it is absent, torn, or not what
    it should be."""
    folder = folder_of(root, name)
    head = read_json(folder / "sweep.json")
    if head.get("schema") != SCHEMA:
        raise BrokenRecord(folder / "sweep.json", f"schema is {head.get('schema')!r}, this program reads {SCHEMA}")
    path = folder / "trials.jsonl"
    lines = read_lines(path) if path.is_file() else []
    try:
        latest = {trial.number: trial for trial in map(_trial, lines)}
    except TypeError as error:
        raise BrokenRecord(path, f"a line is not a trial: {error}") from error
    return Sweep(name, folder, _shown(head), tuple(latest[number] for number in sorted(latest)))


def _trial(line: Mapping[str, Any]) -> Trial:
    """Raises TypeError for a line that is no trial."""
    trial = Trial(**line)
    for name, kind in _KINDS.items():
        if not isinstance(getattr(trial, name), kind):
            raise TypeError(f"{name} is {getattr(trial, name)!r}")
    return trial
