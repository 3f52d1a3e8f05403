"""The content of the report, gathered once from a folder of runs; the page and the files are made from it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sanpose.errors import UserError, nearest
from sanpose.report.selection.groups import select, settings_of
from sanpose.report.selection.points import Point, points_of
from sanpose.report.selection.runs import CellRuns, unusable
from sanpose.report.table import Table
from sanpose.report.tables.ablation import broken_table, table1
from sanpose.report.tables.bill import Watts, bill_table
from sanpose.report.tables.claims import claims, claims_table
from sanpose.report.tables.comparisons import table3, table4, table5
from sanpose.report.tables.complexity import table2
from sanpose.report.tables.looked import autos_of
from sanpose.report.tables.sweep_compared import compared_table
from sanpose.report.tables.sweep_tables import sweep_table
from sanpose.runs import ledger, lookup
from sanpose.runs.facts import preset
from sanpose.runs.ledger import Broken, RunRecord
from sanpose.status.run import RunFiles
from sweeps import record
from sweeps.files import BrokenRecord
from sweeps.record import SweepRecord


@dataclass(frozen=True)
class Report:
    """`tables`: the paper's Tables 1, 2, 3 a, 3 b, 4, 5. `claims`: the tested effects of Table 1's steps.
    `sweep_tables`: one per sweep, in the order of `sweeps`, with its `points`. `compared`: the points tested against
    the first point, None for a search. `bill`: hours and energy.

    `cells`: a to g -> the runs that stand for the cell. `records`: the runs of the report, in order of id, with the
    status "stopped" where the record says running and the process is gone; `broken`: the unreadable folders. `sweep`,
    `preset`: the only sweep and the only preset of the report, None for all.
    """

    runs: Path
    sweep: str | None
    preset: str | None
    tables: tuple[Table, ...]
    claims: Table
    sweep_tables: tuple[Table, ...]
    compared: tuple[Table | None, ...]
    bill: Table
    cells: Mapping[str, CellRuns]
    records: tuple[RunRecord, ...]
    broken: tuple[Broken, ...]
    sweeps: tuple[SweepRecord, ...]
    points: tuple[tuple[Point, ...], ...]

    @property
    def all_tables(self) -> tuple[Table, ...]:
        """Every table, in the order of reading: Table 1, the claims, the paper's other tables, the sweeps, the bill,
        and the broken records."""
        unreadable = (broken_table(self.broken),) if self.broken else ()
        swept = (t for both in zip(self.sweep_tables, self.compared, strict=True) for t in both if t is not None)
        return (self.tables[0], self.claims, *self.tables[1:], *swept, self.bill, *unreadable)


_ASSUMED = Watts()


def gather(
    runs: Path, config_dir: Path, sweep: str | None = None, only_preset: str | None = None, watts: Watts = _ASSUMED
) -> Report:
    """Read a folder of runs and the paper's tables once, and compute every table.

    sweep: use only the runs of this sweep. only_preset: use only the runs of this preset. Unreadable records are named,
    not fatal. Raises UserError when the folder, a table of the paper, or the sweep `sweep` cannot be read.
    """
    if not runs.is_dir():
        raise UserError(
            "there is no folder of runs", where=runs, hint="train a network first, or name the folder: --runs DIR"
        )
    with no_collection():
        return _gathered(runs, config_dir, sweep, only_preset, watts)


def _gathered(runs: Path, config_dir: Path, sweep: str | None, only_preset: str | None, watts: Watts) -> Report:
    sweeps, torn = _sweeps(runs, sweep)
    readable, unreadable = ledger.read_all(runs, {t.run for t in sweeps[0].trials} if sweep is not None else None)
    usable, unusable_records = _usable(readable)
    records = _of_preset(usable, only_preset)
    if only_preset is not None and sweep is None:
        sweeps = _with_runs_of(sweeps, records, usable)
    broken = (*unreadable, *unusable_records, *torn)
    keys = {run.id: settings_of(run) for run in records}
    selection = select(records, config_dir, keys)
    cells = {cell.letter: cell for cell in selection.cells}
    by_id = {run.id: run for run in records}
    broken_names = {name for entry in broken for name in (entry.path.name, entry.path.parent.name)}
    autos = autos_of(sweeps)
    points = tuple(points_of(one, by_id, keys, broken_names) for one in sweeps)
    return Report(
        runs=runs,
        sweep=sweep,
        preset=only_preset,
        tables=(
            table1(selection.cells, selection.others, broken, config_dir),
            table2(selection.cells, config_dir),
            table3(selection.cells, config_dir, 1),
            table3(selection.cells, config_dir, 2),
            table4(selection.cells, config_dir),
            table5(selection.cells, config_dir),
        ),
        claims=claims_table(claims(selection, config_dir, autos), cells),
        sweep_tables=tuple(map(sweep_table, sweeps, points)),
        compared=tuple(compared_table(one, swept, autos) for one, swept in zip(sweeps, points, strict=True)),
        bill=bill_table(records, selection.cells, sweeps, watts),
        cells=cells,
        records=records,
        broken=broken,
        sweeps=sweeps,
        points=points,
    )


@contextmanager
def no_collection() -> Iterator[None]:
    """Switch the garbage collector off: nothing becomes garbage here, and its searches cost a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _sweeps(runs: Path, only: str | None) -> tuple[tuple[SweepRecord, ...], list[Broken]]:
    """The recorded sweeps, or the sweep `only`, and the unreadable ones."""
    if only is not None:
        return (lookup.sweep(runs, only),), []
    sweeps, broken = [], []
    for name in record.names(runs):
        try:
            sweeps.append(record.read(runs, name))
        except BrokenRecord as error:
            broken.append(Broken(error.path, error.reason))
    return tuple(sweeps), broken


def _of_preset(records: Sequence[RunRecord], only: str | None) -> tuple[RunRecord, ...]:
    """The records of a preset, or all. Raises UserError when all records are of other presets."""
    chosen = tuple(r for r in records if only is None or preset(r.config) == only)
    if records and not chosen:
        presets = sorted({preset(r.config) for r in records})
        raise UserError(f"no run has preset '{only}'", expected=", ".join(presets), hint=nearest(str(only), presets))
    return chosen


def _with_runs_of(
    sweeps: Sequence[SweepRecord], records: Sequence[RunRecord], usable: Sequence[RunRecord]
) -> tuple[SweepRecord, ...]:
    """The sweeps that have runs among the records, or no usable runs at all."""
    chosen, every = {run.id for run in records}, {run.id for run in usable}
    return tuple(
        one for one in sweeps if any(t.run in chosen for t in one.trials) or not any(t.run in every for t in one.trials)
    )


def _usable(records: Sequence[RunRecord]) -> tuple[list[RunRecord], list[Broken]]:
    """The records that the tables can use, and the others with their errors."""
    usable, broken = [], []
    for run in records:
        wrong = unusable(run.config)
        if wrong is None:
            usable.append(_verified(run))
        else:
            broken.append(Broken(run.folder, wrong))
    return usable, broken


def _verified(run: RunRecord) -> RunRecord:
    """The run, with the status "stopped" where the record says running and the process is gone."""
    if run.status != "running":
        return run
    now = RunFiles(run.folder).refresh()
    return replace(run, status="stopped", reason=now.reason) if now.state == "stopped" else run
