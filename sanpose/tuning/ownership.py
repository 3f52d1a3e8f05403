"""Who owns a sweep's folder: one definition and the same data at every start, and one driver at a time."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sanpose.errors import UserError
from sanpose.runs import identity, provenance
from sanpose.tuning.sweep import Sweep
from sweeps import record
from sweeps.files import BrokenRecord

_ADDED = ("auto", "first_seed")  # keys of the definition that are absent at their defaults


def claim(sweep: Sweep, root: Path) -> None:
    """Create or update the sweep's record. Raises UserError when a sweep of this name has another definition, or other
    data."""
    defining = {**sweep.head(), "identity": identity.identify(sweep.checked.configs[0]).id}
    fingerprints = _fingerprints(sweep)
    path = record.folder_of(root, sweep.name) / record.HEAD
    if not path.is_file():
        new = {**defining, "fingerprints": fingerprints, "seeds": sweep.seeds, "created": provenance.now()}
        record.write_head(root, sweep.name, new)
        return
    try:
        head = record.read(root, sweep.name).head
    except BrokenRecord as error:
        raise UserError(f"the sweep's record cannot be read: {error.reason}", where=error.path) from error
    recorded = head.get("fingerprints", {})  # earlier versions recorded none
    before = {name: list(map(str, prints)) for name, prints in recorded.items() if isinstance(prints, list)}
    differing = _differing(head, defining, sweep.seeds, _changed_sources(before, fingerprints))
    if differing:
        raise UserError(
            f"a sweep of this name exists, and differs in {', '.join(differing)}",
            where=path.parent,
            expected="the same definition, overrides and data; seeds and search.trials may only grow",
            hint=f"name={sweep.name}-2",
        )
    merged = {name: sorted({*before.get(name, ()), *fingerprints.get(name, ())}) for name in {*before, *fingerprints}}
    record.write_head(root, sweep.name, {**head, "fingerprints": merged})


def _differing(
    head: Mapping[str, object], defining: Mapping[str, object], seeds: int, changed_sources: list[str]
) -> list[str]:
    """What prevents a sweep from resuming with a record, in words."""
    keys = [key for key in (*defining, *_ADDED) if key != "trials" and head.get(key) != defining.get(key)]
    keys = list(dict.fromkeys(keys))
    fewer = [
        key for key, new in (("seeds", seeds), ("trials", defining["trials"])) if _count(head.get(key)) > _count(new)
    ]
    data = [f"the data of {name}" for name in changed_sources]
    if keys == ["identity"]:
        return [*fewer, *data] if data else [*fewer, "the data, or the meaning of the configuration"]
    return [*keys, *fewer, *data]


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _changed_sources(before: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> list[str]:
    """The sources whose files have changed. A source that is new, or no longer used, has not changed."""
    both = [(name, set(before[name]), set(now[name])) for name in now if name in before]
    return [name for name, old, new in both if not (old <= new or new <= old)]


def _fingerprints(sweep: Sweep) -> dict[str, list[str]]:
    """The fingerprints of the files that the checked points use, by source. Unreadable files are left out."""
    fingerprints: dict[str, list[str]] = {}
    for name, file in sorted({item for config in sweep.checked.configs for item in identity.files_of(config).items()}):
        with suppress(UserError):
            fingerprints[name] = sorted({*fingerprints.get(name, ()), identity.fingerprint(name, file)})
    return fingerprints


def start(sweep: Sweep, root: Path, dashboard: str | None) -> None:
    """Record that this process runs the sweep."""
    driver = {"host": socket.gethostname(), "pid": os.getpid(), "started": provenance.now(), "dashboard": dashboard}
    _write_head(sweep, root, {"driver": driver, "ended": None})


def finish(sweep: Sweep, root: Path) -> None:
    """Record that the sweep has finished."""
    _write_head(sweep, root, {"ended": provenance.now()})


def _write_head(sweep: Sweep, root: Path, values: Mapping[str, object]) -> None:
    before, defining, url = record.read(root, sweep.name).head, sweep.head(), sweep.definition.search.storage
    seeds, trials = max(sweep.seeds, before.get("seeds", 1)), defining["trials"]
    counts = {"seeds": seeds, "planned": None if trials is None else trials * seeds}
    head = {"driver": None, **before, **defining, **counts, "storage": url, **values}
    record.keep_storage(record.write_head(root, sweep.name, head), url)
