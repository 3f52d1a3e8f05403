"""The bill of the runs: recorded hours and accelerator-hours, and an estimate of the energy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sanpose.report.selection.runs import CellRuns
from sanpose.report.table import Cell, Column, Table
from sanpose.runs import facts
from sanpose.runs.ledger import RunRecord
from sweeps.record import SweepRecord

COLUMNS = (
    Column("what", "What"),
    Column("runs", "Runs", digits=0),
    Column("hours", "Hours", digits=2),
    Column("accelerator_hours", "Accelerator-hours", digits=2),
    Column("energy_kwh", "Energy, estimated (kWh)", digits=3),  # more digits for a small bill: `_columns`
    Column("unknown", "Runs without a bill", digits=0),
)


@dataclass(frozen=True)
class Watts:
    """The assumed, not measured, power in W of a CPU core and of a GPU."""

    core: float = 15.0
    gpu: float = 300.0


@dataclass(frozen=True)
class Bill:
    """The sums over a number of runs; `unknown` of these runs recorded no times and are in no sum."""

    runs: int = 0
    hours: float = 0.0
    accelerator_hours: float = 0.0
    energy_kwh: float = 0.0
    unknown: int = 0


def bill_of(run: RunRecord, watts: Watts) -> Bill:
    """The bill of one run. Hours are from start to end, over all starts; a run that has not ended has no bill yet."""
    recorded = facts.bill(run)
    if recorded.wall_s is None or recorded.accelerators is None:
        return Bill(1, unknown=1)
    hours = recorded.wall_s / 3600
    accelerator_hours = hours * recorded.accelerators
    draw = watts.gpu if recorded.device == "cuda" else watts.core
    return Bill(1, hours, accelerator_hours, accelerator_hours * draw / 1000)


def bill_table(
    records: Sequence[RunRecord], cells: Sequence[CellRuns], sweeps: Sequence[SweepRecord], watts: Watts
) -> Table:
    """The bill of every cell of Table 1 (all its runs), of every sweep, and of all runs."""
    bills = {run.id: bill_of(run, watts) for run in records}
    rows = [_row(f"Cell {c.letter}", [r.id for r in (*c.runs, *c.others)], bills) for c in cells if c.runs or c.others]
    rows += [_row(f"Sweep {sweep.name}", [trial.run for trial in sweep.trials], bills) for sweep in sweeps]
    rows.append(_row("All runs", list(bills), bills))
    notes = (
        f"Energy is an estimate: accelerator-hours times an assumed {watts.core:g} W per CPU core or {watts.gpu:g} W"
        " per GPU (--watts), without the rest of the machine. On a CPU, an accelerator is a core of the run.",
        "Hours are the sum of the runs' wall-clock times over all their starts; runs may have run side by side. A run"
        " can stand for a cell and belong to several sweeps, so rows overlap; the last row counts each run once.",
        "Runs without a bill are in no sum: they have not ended, or their record has no times.",
    )
    return Table("bill", "The bill", _columns(rows), tuple(rows), notes)


def _columns(rows: Sequence[Mapping[str, Cell]]) -> tuple[Column, ...]:
    """COLUMNS with enough digits, at most six, to show two of the smallest energy: a small run does not show 0."""
    energies = [float(v) for row in rows if isinstance(v := row["energy_kwh"].value, int | float) and v > 0]
    digits = 1 - math.floor(math.log10(min(energies, default=1.0)))
    return tuple(replace(c, digits=min(6, max(c.digits, digits))) if c.key == "energy_kwh" else c for c in COLUMNS)


def _row(what: str, ids: Sequence[str], bills: Mapping[str, Bill]) -> dict[str, Cell]:
    total = _sum([bills[name] for name in dict.fromkeys(ids) if name in bills])
    billed = total.runs > total.unknown
    return {
        "what": Cell(what),
        "runs": Cell(total.runs),
        "hours": Cell(total.hours if billed else None),
        "accelerator_hours": Cell(total.accelerator_hours if billed else None),
        "energy_kwh": Cell(total.energy_kwh if billed else None),
        "unknown": Cell(total.unknown),
    }


def _sum(bills: Sequence[Bill]) -> Bill:
    return Bill(
        runs=sum(bill.runs for bill in bills),
        hours=math.fsum(bill.hours for bill in bills),
        accelerator_hours=math.fsum(bill.accelerator_hours for bill in bills),
        energy_kwh=math.fsum(bill.energy_kwh for bill in bills),
        unknown=sum(bill.unknown for bill in bills),
    )
