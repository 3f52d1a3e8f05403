"""Whose a sweep's folder is: of one definition, of the same data from start to end, and of one driver at a time."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sanpose.errors import UserError
from sanpose.runs import identity, provenance
from sanpose.tuning.sweep import Sweep
from sweeps import record
from sweeps.files import BrokenRecord


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the sweep's folder, so that no second driver runs it. Raises UserError when one does."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("this sweep is being run by another process", where=folder) from error
        yield


def claim(sweep: Sweep, root: Path) -> None:
    """Make the sweep's record. Raises UserError when there is one of another sweep, or of other data."""
    wanted = {**sweep.head(), "identity": identity.run_id(sweep.checked.configs[0])}
    used = _fingerprints(sweep)
    path = record.folder_of(root, sweep.name) / "sweep.json"
    if not path.is_file():
        new = {**wanted, "fingerprints": used, "seeds": sweep.seeds, "created": provenance.now()}
        record.write_head(root, sweep.name, new)
        return
    try:
        head = record.read(root, sweep.name).head
    except BrokenRecord as error:
        raise UserError(f"the sweep's record cannot be read: {error.reason}", where=error.path) from error
    before = head.get("fingerprints") or {}  # an earlier version noted none
    differing = _differing(head, wanted, sweep.seeds, _other(before, used))
    if differing:
        raise UserError(
            f"there is a sweep of this name that differs in {', '.join(differing)}",
            where=path.parent,
            expected="the same definition, overrides and data; seeds and search.trials may only grow",
            hint=f"name={sweep.name}-2",
        )
    both = {name: sorted({*before.get(name, ()), *used.get(name, ())}) for name in {*before, *used}}
    record.write_head(root, sweep.name, {**head, "fingerprints": both})


def _differing(head: Mapping[str, Any], wanted: Mapping[str, Any], seeds: int, other: list[str]) -> list[str]:
    """What keeps a sweep from going on with a record; other: the sources whose data have changed."""
    keys = [key for key in wanted if key != "trials" and head.get(key) != wanted[key]]
    fewer = [key for key, n in (("seeds", seeds), ("trials", wanted["trials"])) if (head.get(key) or 0) > (n or 0)]
    data = [f"the data of {name}" for name in other]
    if keys == ["identity"]:
        return [*fewer, *data] if data else [*fewer, "the data, or what their configuration means"]
    return [*keys, *fewer, *data]


def _other(before: Mapping[str, list[str]], used: Mapping[str, list[str]]) -> list[str]:
    """The sources whose files are not those of before. One that was not there then, or is not now, is no other."""
    both = [(name, set(before[name]), set(used[name])) for name in used if name in before]
    return [name for name, then, now in both if not (then <= now or now <= then)]


def _fingerprints(sweep: Sweep) -> dict[str, list[str]]:
    """What the files hold that the checked points use, by source: those that can be read."""
    found: dict[str, list[str]] = {}
    for name, file in sorted({used for config in sweep.checked.configs for used in identity.files(config).items()}):
        with suppress(UserError):
            fingerprint = identity.fingerprint(name, file)
            found[name] = sorted({*found.get(name, ()), fingerprint})
    return found


def begun(sweep: Sweep, root: Path, dashboard: str | None) -> None:
    """Record that this process runs the sweep."""
    me = {"host": socket.gethostname(), "pid": os.getpid(), "started": provenance.now(), "dashboard": dashboard}
    _write_head(sweep, root, {"driver": me, "ended": None})


def ended(sweep: Sweep, root: Path) -> None:
    """Record that the sweep has ended."""
    _write_head(sweep, root, {"ended": provenance.now()})


def _write_head(sweep: Sweep, root: Path, told: Mapping[str, Any]) -> None:
    before = record.read(root, sweep.name).head
    head = {"driver": None, **before, **sweep.head(), "storage": sweep.definition.search.storage}
    head["seeds"] = max(sweep.seeds, before.get("seeds", 1))
    head["planned"] = None if head["trials"] is None else head["trials"] * head["seeds"]
    folder = record.write_head(root, sweep.name, {**head, **told})
    record.keep_storage(folder, sweep.definition.search.storage)
