"""What the page knows of each run that a row opens, as compact plain data: what runs share is said once.

Of many runs the page holds a part: MOST with their particulars, CURVES with their curves. It says where the others are.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice, zip_longest
from typing import Any

from sanpose.errors import UserError
from sanpose.metrics.headline import PATHS
from sanpose.report.figures.series import Line, curves
from sanpose.report.gather import Report
from sanpose.report.selection.cells import setting
from sanpose.report.selection.points import best_first, objectives_of
from sanpose.report.selection.runs import lookup, state
from sanpose.runs.ledger import RunRecord
from sweeps.files import BrokenRecord, read_json
from sweeps.secrecy import masked

MOST = 10_000
CURVES = 2_000
_POINTS = 60  # of a curve
_SEED = "train.seed"


def shown_runs(report: Report) -> tuple[list[RunRecord], int]:
    """The runs of the cells, then of the sweeps, at most MOST of them; and how many more there are."""
    by_id = {run.id: run for run in report.records}
    wanted = dict.fromkeys(run.id for cell in report.cells.values() for run in (*cell.runs, *cell.others))
    wanted |= dict.fromkeys(trial.run for sweep in report.sweeps for trial in sweep.trials)
    wanted |= dict.fromkeys(by_id)
    found = [by_id[name] for name in wanted if name in by_id]
    return found[:MOST], max(0, len(found) - MOST)


def with_curves(report: Report, runs: Sequence[RunRecord]) -> set[str]:
    """The ids of the runs whose curves are in the page: of the cells, then the best of every sweep in turn, then of the
    others, at most CURVES."""
    by_id = {run.id: run for run in runs}
    wanted = dict.fromkeys(run.id for cell in report.cells.values() for run in cell.runs)
    if len(by_id) > CURVES:
        best = [
            [run.id for point in best_first(points, objectives_of(sweep)[0]) for run in point.runs]
            for sweep, points in zip(report.sweeps, report.points, strict=True)
        ]
        wanted |= dict.fromkeys(name for names in zip_longest(*best) for name in names if name)
    wanted |= dict.fromkeys(by_id)
    return set(islice((name for name in wanted if name in by_id), CURVES))


class _Shared:
    """Values that are said once and then called by their number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.values: list[Any] = []

    def number(self, value: Any) -> int:
        found = self._numbers.setdefault(json.dumps(value), len(self.values))
        if found == len(self.values):
            self.values.append(value)
        return found


def details(runs: Sequence[RunRecord], curved: Collection[str]) -> dict[str, Any]:
    """What the page's script reads. curved: the ids of those whose curves are wanted.

    `runs`: id -> what is its own, without what is empty; it calls by number: `configs`, each what differs from `base`
    beside the seed; `origins`, label and text; `texts` of protocols; `epochs` that curves go through.
    """
    shared = {name: _Shared() for name in ("configs", "origins", "texts", "epochs")}
    base = runs[0].config if runs else {}
    found = {}
    for run in runs:
        told = _run(run, shared) | {"config": shared["configs"].number(_less(run.config, base))}
        told |= _curves(run, shared) if run.id in curved else {"left_out": True}
        found[run.id] = {key: value for key, value in told.items() if value not in ("", {}) and value is not None}
    flat = {key: value for key, value in flattened(base).items() if key != _SEED}
    return {"base": flat, "runs": found, **{name: one.values for name, one in shared.items()}}


def when(moment: str | None) -> str:
    """A recorded moment for people: UTC, to the minute; as it stands where it is none."""
    try:
        return datetime.fromisoformat(moment or "").astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError):  # OverflowError: in UTC it would be before the year 1
        return moment or "–"


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as dotted key -> value; lists stay whole, as text."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= flattened(value, f"{prefix}{key}.")
        else:
            plain = value is None or isinstance(value, str | int | float)
            found[f"{prefix}{key}"] = value if plain else json.dumps(value)
    return found


def _less(config: Mapping[str, Any], base: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """What differs from the base beside the seed, flattened; a key that the base alone has is null."""
    changed: dict[str, Any] = {}
    for key in dict.fromkeys((*base, *config)):
        own, usual = config.get(key), base.get(key)
        if own == usual and key in config and key in base:
            continue
        if isinstance(own, dict) and isinstance(usual, dict):
            changed |= _less(own, usual, f"{prefix}{key}.")
        else:
            changed |= dict.fromkeys(flattened({key: usual}, prefix)) if key in base else {}
            changed |= flattened({key: own}, prefix) if key in config else {}
    changed.pop(_SEED, None)
    return changed


def _run(run: RunRecord, shared: Mapping[str, _Shared]) -> dict[str, Any]:
    figures = {name: lookup(run.metrics, *path) for name, path in PATHS.items()}
    protocols = {str(name): text for name, text in run.protocol.items() if isinstance(text, str)}
    return {
        "status": run.status,
        "more": state(run)[len(run.status) :],
        "reason": run.reason,
        "started": run.started and when(run.started),
        "ended": run.ended and when(run.ended),
        "synthetic": True if run.extra.get("synthetic") else None,
        "seed": setting(run.config, _SEED),
        "metrics": {name: value for name, value in figures.items() if value is not None},
        "protocol": {name: shared["texts"].number(text) for name, text in protocols.items()},
        "origin": shared["origins"].number(list(_provenance(run))),
    }


def _provenance(run: RunRecord) -> Iterable[tuple[str, str]]:
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
        ("command", " ".join(masked(str(word)) for word in command) if isinstance(command, list) else ""),
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


def _curves(run: RunRecord, shared: Mapping[str, _Shared]) -> dict[str, Any]:
    """Name -> the number of the epochs, then the values; or why there are none."""
    try:
        found = curves(run)
    except UserError as error:
        return {"curves_missing": error.what}
    lines = {"training loss": found.loss, "validation MPJPE (mm)": found.mpjpe, "δ": found.delta}
    thin = {name: _thinned(line) for name, line in lines.items() if line}
    return {
        "curves": {
            name: [shared["epochs"].number([epoch for epoch, _ in line]), *(value for _, value in line)]
            for name, line in thin.items()
        }
    }


def _thinned(line: Line) -> list[tuple[int, float]]:
    """At most about _POINTS of a line's (epoch, value), the last one always."""
    every = sorted(line.items())
    step = -(-len(every) // _POINTS)
    chosen = every[::step] if every[-1] in every[::step] else [*every[::step], every[-1]]
    return [(epoch, float(f"{value:.5g}")) for epoch, value in chosen]
