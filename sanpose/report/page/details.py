"""The page's details of each run, as compact plain data: values that runs share are stored once.

The page holds the details of at most MOST runs and the curves of at most CURVES runs, and names the folder of the
others.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice, zip_longest

from sanpose.errors import UserError
from sanpose.metrics.headline import PATHS
from sanpose.report.figures.series import Line, curves
from sanpose.report.gather import Report
from sanpose.report.selection.points import best_first, objectives_of
from sanpose.report.selection.runs import state
from sanpose.runs import facts
from sanpose.runs.facts import number_at, setting
from sanpose.runs.ledger import RunRecord
from sanpose.runs.paths import RunPaths
from sweeps.files import BrokenRecord, read_json
from sweeps.secrecy import masked

MOST = 10_000
CURVES = 2_000
_POINTS = 60  # of a curve
_SEED = "train.seed"


def shown_runs(report: Report) -> tuple[list[RunRecord], int]:
    """The runs of the cells, then of the sweeps, then the others, at most MOST; and the number of omitted runs."""
    by_id = {run.id: run for run in report.records}
    order = dict.fromkeys(run.id for cell in report.cells.values() for run in (*cell.runs, *cell.others))
    order |= dict.fromkeys(trial.run for sweep in report.sweeps for trial in sweep.trials)
    order |= dict.fromkeys(by_id)
    runs = [by_id[name] for name in order if name in by_id]
    return runs[:MOST], max(0, len(runs) - MOST)


def with_curves(report: Report, runs: Sequence[RunRecord]) -> set[str]:
    """The ids of the runs with curves in the page, at most CURVES: the cells' runs, then the best runs of every sweep
    in turn, then the others."""
    by_id = {run.id: run for run in runs}
    order = dict.fromkeys(run.id for cell in report.cells.values() for run in cell.runs)
    if len(by_id) > CURVES:
        best = [
            [run.id for point in best_first(points, objectives_of(sweep)[0]) for run in point.runs]
            for sweep, points in zip(report.sweeps, report.points, strict=True)
        ]
        order |= dict.fromkeys(name for names in zip_longest(*best) for name in names if name)
    order |= dict.fromkeys(by_id)
    return set(islice((name for name in order if name in by_id), CURVES))


class _Shared:
    """Values that are stored once; runs refer to them by number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.values: list[object] = []

    def number(self, value: object) -> int:
        number = self._numbers.setdefault(json.dumps(value), len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


def details(runs: Sequence[RunRecord], curved: Collection[str]) -> dict[str, object]:
    """The data for the page's script. curved: the ids of the runs with curves.

    `runs`: id -> the run's own values, without empty ones. A run refers by number to `configs`, each the differences
    from `base` except the seed; `origins`, label and text; `texts` of protocols; `epochs` of curves.
    """
    shared = {name: _Shared() for name in ("configs", "origins", "texts", "epochs")}
    base = runs[0].config if runs else {}
    by_id = {}
    for run in runs:
        values = _run(run, shared) | {"config": shared["configs"].number(_less(run.config, base))}
        values |= _curves(run, shared) if run.id in curved else {"left_out": True}
        by_id[run.id] = {key: value for key, value in values.items() if value not in ("", {}) and value is not None}
    flat = {key: value for key, value in flattened(base).items() if key != _SEED}
    return {"base": flat, "runs": by_id, **{name: one.values for name, one in shared.items()}}


def when(moment: str | None) -> str:
    """A recorded time for people: UTC, to the minute; text that is no time is returned unchanged."""
    try:
        return datetime.fromisoformat(moment or "").astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError):  # OverflowError: in UTC it would be before the year 1
        return moment or "–"


def flattened(config: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """A nested configuration as dotted key -> value; a list becomes one text."""
    flat: dict[str, object] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            plain = value is None or isinstance(value, str | int | float)
            flat[f"{prefix}{key}"] = value if plain else json.dumps(value)
    return flat


def _less(config: Mapping[str, object], base: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """The differences from the base except the seed, flattened; a key that only the base has is null."""
    changed: dict[str, object] = {}
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


def _run(run: RunRecord, shared: Mapping[str, _Shared]) -> dict[str, object]:
    figures = {name: number_at(run.metrics, *path) for name, path in PATHS.items()}
    protocols = {str(name): text for name, text in run.protocol.items() if isinstance(text, str)}
    return {
        "status": run.status,
        "more": state(run)[len(run.status) :],
        "reason": run.reason,
        "started": run.started and when(run.started),
        "ended": run.ended and when(run.ended),
        "synthetic": facts.is_synthetic(run) or None,
        "seed": setting(run.config, _SEED),
        "metrics": {name: value for name, value in figures.items() if value is not None},
        "protocol": {name: shared["texts"].number(text) for name, text in protocols.items()},
        "origin": shared["origins"].number(list(_provenance(run))),
    }


def _provenance(run: RunRecord) -> Iterable[tuple[str, str]]:
    """Label and text of a run's origin: commit, command, machine, packages; or why they are unknown."""
    try:
        record = read_json(RunPaths(run.folder).provenance)
    except BrokenRecord as error:
        return [("provenance", error.reason)]
    git, machine, packages = (_mapping(record.get(key)) for key in ("git", "machine", "packages"))
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    command, starts = record.get("command"), record.get("starts")
    lines = [
        ("commit", f"{git['commit']}{dirty}" if git.get("commit") else "unknown"),
        ("command", " ".join(masked(str(word)) for word in command) if isinstance(command, list) else ""),
        (
            "machine",
            ", ".join(f"{key} {value}" for key, value in machine.items() if not isinstance(value, list | dict)),
        ),
        ("Python", " on ".join(str(record[key]) for key in ("python", "platform") if record.get(key))),
        ("packages", ", ".join(f"{name} {version}" for name, version in packages.items())),
        ("restarts", f"{len(starts)}" if isinstance(starts, list) and starts else ""),
    ]
    return [(label, text) for label, text in lines if text]


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _curves(run: RunRecord, shared: Mapping[str, _Shared]) -> dict[str, object]:
    """Name -> the number of the shared epochs, then the values; or why there are no curves."""
    try:
        curve = curves(run)
    except UserError as error:
        return {"curves_missing": error.what}
    lines = {"training loss": curve.loss, "validation MPJPE (mm)": curve.mpjpe, "δ": curve.delta}
    thin = {name: _thinned(line) for name, line in lines.items() if line}
    return {
        "curves": {
            name: [shared["epochs"].number([epoch for epoch, _ in line]), *(value for _, value in line)]
            for name, line in thin.items()
        }
    }


def _thinned(line: Line) -> list[tuple[int, float]]:
    """About _POINTS of a line's (epoch, value) at most, with the last point."""
    every = sorted(line.items())
    step = -(-len(every) // _POINTS)
    chosen = every[::step] if every[-1] in every[::step] else [*every[::step], every[-1]]
    return [(epoch, float(f"{value:.5g}")) for epoch, value in chosen]
