"""Find recorded runs and sweeps by name. Every problem is a UserError."""

from __future__ import annotations

from pathlib import Path

from sanpose.errors import UserError, nearest
from sanpose.runs import ledger
from sanpose.runs.paths import RunPaths
from sweeps import record
from sweeps.files import BrokenRecord


def find(runs: Path, prefix: str) -> Path:
    """A run's folder by a prefix of its id. Raises UserError when no run id, or more than one, starts with the
    prefix."""
    try:
        return ledger.find(runs, prefix)
    except ledger.NoSuchRun as error:
        raise UserError(str(error), hint="`sanpose report` lists the runs") from error


def read(folder: Path) -> ledger.RunRecord:
    """A run's record. Raises UserError when it cannot be read."""
    try:
        return ledger.read(folder)
    except BrokenRecord as error:
        raise UserError(f"the run's record cannot be read: {error.reason}", where=error.path) from error


def sweep(runs: Path, name: str) -> record.SweepRecord:
    """A sweep's record. Raises UserError when there is no sweep of that name, or when its record cannot be read."""
    names = record.names(runs)
    if name not in names:
        raise UserError(
            f"there is no sweep '{name}'",
            where=runs,
            expected=f"one of: {', '.join(names) or 'none is recorded here'}",
            hint=nearest(name, names),
        )
    try:
        return record.read(runs, name)
    except BrokenRecord as error:
        raise UserError(f"the sweep's record cannot be read: {error.reason}", where=error.path) from error


def recorded(folder: Path) -> ledger.RunRecord | None:
    """The record that a driver wrote into a run's folder, or None. Raises UserError when it cannot be read."""
    return read(folder) if is_recorded(folder) else None


def is_recorded(folder: Path) -> bool:
    """Whether a run's folder holds a record, readable or not."""
    try:
        RunPaths(folder).result.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # another user's folder, a link in a circle
        return True
    return True
