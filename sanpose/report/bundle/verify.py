"""Whether a bundle's tables and verdicts follow from its records."""

from __future__ import annotations

import json
import math
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sanpose.config.compose import from_plain
from sanpose.config.schema import SCHEMA
from sanpose.errors import UserError
from sanpose.report import build
from sanpose.report.bundle import manifest
from sanpose.report.bundle.manifest import CONFIGS, RUNS, TABLES, Manifest
from sanpose.report.bundle.pack import restore_times
from sanpose.report.gather import gather
from sanpose.report.writers import WRITERS
from sanpose.runs import journal, ledger
from sanpose.runs.identity import hash_of, identity_of
from sanpose.runs.ledger import RunRecord
from sanpose.runs.paths import RunPaths

_ROUNDING = 1e-9  # relative; the last digits of a test statistic depend on the processor's libraries


@dataclass(frozen=True)
class Verification:
    """`problems`: in words, where the bundle contradicts itself. `cells`: how many numbers and texts of tables were
    compared; `rounded`: how many of these numbers agree only to nine digits."""

    listed: Manifest
    runs: int
    cells: int
    rounded: int
    problems: tuple[str, ...]


def verify(path: Path) -> Verification:
    """Check a bundle, a folder or an archive: every file against its hash, every run's id against its configuration and
    data, every record against its journal, and every table against the tables that the records give here.

    Raises UserError for anything that is not a bundle.
    """
    with opened(path) as folder:
        listed = manifest.read(folder)
        restore_times(folder, listed)
        problems = _files(folder, listed)
        try:
            records, broken = ledger.read_all(folder / RUNS)
        except FileNotFoundError:
            return Verification(listed, 0, 0, 0, (*problems, "the bundle has no records"))
        problems += [f"{entry.path.relative_to(folder)}: {entry.reason}" for entry in broken]
        for run in records:
            problems += _record(run)
        cells, rounded, differing = _tables(folder, listed)
        return Verification(listed, len(records), cells, rounded, (*problems, *differing))


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """A copy of the bundle's folder, in a temporary place."""
    if not path.exists():
        raise UserError("there is no such bundle", where=path)
    with tempfile.TemporaryDirectory() as place:
        if path.is_dir():
            manifest.read(path)
            yield Path(shutil.copytree(path, Path(place) / "bundle"))
            return
        try:
            with tarfile.open(path) as tar:
                tar.extractall(place, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UserError(f"the archive cannot be read: {error}", where=path) from error
        folders = [folder for folder in Path(place).iterdir() if (folder / manifest.NAME).is_file()]
        if len(folders) != 1:
            raise UserError("this is not a bundle", where=path, expected=f"one folder with {manifest.NAME}")
        yield folders[0]


def _files(folder: Path, listed: Manifest) -> list[str]:
    now = manifest.hashes(folder)
    missing = [f"{name}: the file is missing" for name in listed.files if name not in now]
    more = [f"{name}: the file is not in the bundle's list" for name in now if name not in listed.files]
    other = [
        f"{name}: the content is not that of the list" for name in now if listed.files.get(name, now[name]) != now[name]
    ]
    return sorted(missing + more + other)


def _record(run: RunRecord) -> list[str]:
    """What contradicts a run's record."""
    problems = []
    prints = run.extra.get("fingerprints")
    if isinstance(prints, Mapping):
        try:
            identity = identity_of(from_plain(run.config), {str(k): str(v) for k, v in prints.items()})
            if hash_of(identity, schema=SCHEMA) != run.id:
                problems.append(f"{RUNS}/{run.id}: the id is not that of the configuration and the data")
        except UserError as error:
            problems.append(f"{RUNS}/{run.id}: the configuration cannot be used: {error.what}")
    finals = [line for line in journal.read(RunPaths(run.folder).journal) if line.get("kind") == "final"]
    if run.status == "done" and not (finals and _within(finals[-1].get("figures"), run.metrics)):
        problems.append(f"{RUNS}/{run.id}: the figures are not those at the end of the journal")
    return problems


def _within(part: object, whole: object) -> bool:
    """Whether every value of nested mappings stands in another one."""
    if isinstance(part, Mapping) and isinstance(whole, Mapping):
        return all(key in whole and _within(value, whole[key]) for key, value in part.items())
    return part == whole


def _tables(folder: Path, listed: Manifest) -> tuple[int, int, list[str]]:
    """The number of compared cells, how many agree only to nine digits, and the differences in words."""
    try:
        tables = gather(folder / RUNS, folder / CONFIGS, listed.sweep).all_tables
    except UserError as error:
        return 0, 0, [f"the tables cannot be rebuilt: {error.what}"]
    again = folder / "again"
    build.write(tables, again)
    cells, rounded, problems = 0, 0, _texts(folder / TABLES, again)
    for name in dict.fromkeys((*listed.tables, *(table.name for table in tables))):
        before, now = _content(folder / TABLES / f"{name}.json"), _content(again / f"{name}.json")
        if before is None or now is None:
            who = "only the records give" if before is None else "the records do not give"
            problems.append(f"{TABLES}/{name}.json: {who} this table")
            continue
        for place in sorted(before.keys() | now.keys()):
            cells += 1
            one, other = before.get(place), now.get(place)
            if one == other:
                continue
            if _close(one, other):
                rounded += 1
            else:
                problems.append(f"{TABLES}/{name}.json, {place}: {one!r} in the bundle, {other!r} from its records")
    return cells, rounded, problems


def _texts(bundled: Path, again: Path) -> list[str]:
    """The tables whose JSON is the same here and whose Markdown, LaTeX or CSV is not."""
    same = [path.stem for path in again.glob("*.json") if _bytes(bundled / path.name) == path.read_bytes()]
    others = (f"{name}.{ending}" for name in sorted(same) for ending in WRITERS if ending != "json")
    return [
        f"{TABLES}/{name}: the text is not that of the table"
        for name in others
        if _bytes(bundled / name) != (again / name).read_bytes()
    ]


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _close(one: object, other: object) -> bool:
    numbers = [value for value in (one, other) if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == 2 and math.isclose(*numbers, rel_tol=_ROUNDING)


def _content(path: Path) -> dict[str, object] | None:
    """Every value of a table's file, by its place in words; None where the file cannot be read."""
    try:
        return dict(_flat(json.loads(path.read_text()), ""))
    except (OSError, ValueError):
        return None


def _flat(value: object, place: str) -> Iterator[tuple[str, object]]:
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if entries is None:
        yield place, value
        return
    for key, entry in entries:
        yield from _flat(entry, f"{place}.{key}" if place else str(key))
