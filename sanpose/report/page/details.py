"""What the page knows of each run that a row opens, as compact plain data: shared texts and settings are said once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sanpose.errors import UserError
from sanpose.headline import PATHS
from sanpose.report.figures.series import Line, curves
from sanpose.report.gather import Report
from sanpose.report.runs import lookup, state
from sweeps.files import BrokenRecord, read_json
from sweeps.ledger import Record

MOST = 2000  # runs whose details are in the page; of the others the page says where they are
_POINTS = 60  # of a curve


def shown_runs(report: Report) -> tuple[list[Record], int]:
    """The runs of the cells, then of the sweeps, at most MOST of them; and how many more there are."""
    by_id = {run.id: run for run in report.records}
    wanted = dict.fromkeys(run.id for cell in report.cells.values() for run in (*cell.runs, *cell.others))
    wanted |= dict.fromkeys(trial.run for sweep in report.sweeps for trial in sweep.trials)
    wanted |= dict.fromkeys(by_id)
    found = [by_id[name] for name in wanted if name in by_id]
    return found[:MOST], max(0, len(found) - MOST)


def details(runs: Sequence[Record]) -> dict[str, Any]:
    """{"base": settings, "texts": [...], "runs": {id: {...}}}: a run's settings are what differs from `base`; protocols
    and versions are numbers into `texts`."""
    flat = {run.id: flattened(run.config) for run in runs}
    base = flat[runs[0].id] if runs else {}
    texts: dict[str, int] = {}
    return {
        "base": base,
        "runs": {run.id: _run(run, _less(flat[run.id], base), texts) for run in runs},
        "texts": list(texts),
    }


def when(moment: str | None) -> str:
    """A recorded moment for people: UTC, to the minute; as it stands where it is none."""
    try:
        return datetime.fromisoformat(moment or "").astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return moment or "–"


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as dotted key -> value; lists stay whole, as text."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{key}.")
        else:
            plain = value is None or isinstance(value, str | int | float)
            found[f"{prefix}{key}"] = value if plain else json.dumps(value)
    return found


def _less(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the base; a key that the base alone has is null."""
    changed = {key: value for key, value in config.items() if key not in base or base[key] != value}
    return changed | {key: None for key in base if key not in config}


def _run(run: Record, changed: Mapping[str, Any], texts: dict[str, int]) -> dict[str, Any]:
    def number(text: str) -> int:
        return texts.setdefault(text, len(texts))

    protocols = {str(name): text for name, text in run.protocol.items() if isinstance(text, str)}
    return {
        "status": run.status,
        "state": state(run),
        "reason": run.reason,
        "started": when(run.started),
        "ended": when(run.ended),
        "synthetic": bool(run.extra.get("synthetic")),
        "folder": str(run.folder),
        "metrics": {name: lookup(run.metrics, *path) for name, path in PATHS.items() if lookup(run.metrics, *path)},
        "config": changed,
        "protocol": {name: number(text) for name, text in protocols.items()},
        "provenance": [[label, number(text)] for label, text in _provenance(run)],
        **_curves(run),
    }


def _provenance(run: Record) -> Iterable[tuple[str, str]]:
    """Who made it, from what, where; or why that isn't known."""
    try:
        told = read_json(run.folder / "provenance.json")
    except BrokenRecord as error:
        return [("provenance", error.reason)]
    git, machine, packages = (_mapping(told.get(key)) for key in ("git", "machine", "packages"))
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    command, starts = told.get("command"), told.get("starts")
    lines = [
        ("commit", f"{git['commit']}{dirty}" if git.get("commit") else "not known"),
        ("command", " ".join(map(str, command)) if isinstance(command, list) else ""),
        (
            "machine",
            ", ".join(f"{key} {value}" for key, value in machine.items() if not isinstance(value, list | dict)),
        ),
        ("Python", " on ".join(str(told[key]) for key in ("python", "platform") if told.get(key))),
        ("packages", ", ".join(f"{name} {version}" for name, version in packages.items())),
        ("started again", f"{len(starts)} times" if isinstance(starts, list) and starts else ""),
    ]
    return [(label, text) for label, text in lines if text]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _curves(run: Record) -> dict[str, Any]:
    try:
        found = curves(run)
    except UserError as error:
        return {"curves": {}, "curves_missing": error.what}
    lines = {"training loss": found.loss, "validation MPJPE (mm)": found.mpjpe, "δ": found.delta}
    return {"curves": {name: _thinned(line) for name, line in lines.items() if line}}


def _thinned(line: Line) -> list[list[float]]:
    """At most about _POINTS of a line's [epoch, value], the last one always."""
    every = sorted(line.items())
    step = -(-len(every) // _POINTS)
    chosen = every[::step] if every[-1] in every[::step] else [*every[::step], every[-1]]
    return [[epoch, float(f"{value:.5g}")] for epoch, value in chosen]
