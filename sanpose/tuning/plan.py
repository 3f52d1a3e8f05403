"""`sanpose tune --dry-run`: what a sweep would run, what it would take from the ledger, and what that would cost.

What the hours of a trial rest on is said (`estimate`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sanpose.config.compose import located
from sanpose.errors import UserError
from sanpose.runs import identity, ledger, lookup
from sanpose.tuning import estimate
from sanpose.tuning.estimate import Estimate, Timed
from sanpose.tuning.sweep import Sweep
from sweeps import definition, record
from sweeps.study import Study


@dataclass(frozen=True)
class Row:
    """One planned trial. `action`: "train", "continue at epoch k", "take", "leave failed", "leave pruned", "same as
    trial k", "cannot be run"; `why`: what keeps the last one from it."""

    label: str
    seed: int
    run: str
    action: str
    estimate: Estimate | None
    why: str = ""


@dataclass(frozen=True)
class SweepPlan:
    """`rows`: the trials that are known, of a search only those that it has still to run. `drawn`: trials that a
    sampler will draw later, estimated as the mean of `typical`. `held`: how many trials of a search are done, pruned,
    failed and running already."""

    sweep: Sweep
    rows: tuple[Row, ...]
    drawn: int
    typical: Estimate | None
    held: Mapping[str, int] = field(default_factory=dict)

    @property
    def hours(self) -> float:
        """One trial after the other."""
        return sum(e.hours for e in self._estimates())

    @property
    def accelerator_hours(self) -> float:
        return sum(e.hours * e.accelerators for e in self._estimates())

    def _estimates(self) -> list[Estimate]:
        known = [row.estimate for row in self.rows if row.estimate]
        return known + ([self.typical] * self.drawn if self.typical else [])


def make(sweep: Sweep, retry_failed: bool = False) -> SweepPlan:
    """The plan of a sweep, from the records that there are, and for a search from its study. Nothing is started or
    written. Raises UserError when they cannot be read."""
    known = estimate.timed(ledger.read_all(sweep.runs)[0] if sweep.runs.is_dir() else [])
    if sweep.definition.search.sampler == "grid":
        asked = [(values, seed) for seed in range(sweep.seeds) for values in sweep.definition.grid()]
        held: dict[str, int] = {}
        drawn = 0
    else:
        held, asked, drawn = _searched(sweep, retry_failed)
    rows: list[Row] = []
    for values, seed in asked:
        rows.append(_row(sweep, values, seed, known, rows, retry_failed))
    return SweepPlan(sweep, tuple(rows), drawn, _typical(sweep, known) if drawn else None, held)


def _typical(sweep: Sweep, known: Sequence[Timed]) -> Estimate:
    """The mean of the checked points, but for those whose data cannot be read. Raises UserError when that is all."""
    found, wrong = [], None
    for config in sweep.checked.configs:
        try:
            found.append(estimate.estimate(config, known))
        except UserError as error:
            wrong = error
    if wrong and not found:
        raise wrong
    return estimate.mean(found)


def _searched(sweep: Sweep, retry: bool) -> tuple[dict[str, int], list[tuple[definition.Values, int]], int]:
    """What a search's study holds, the points and seeds that it asks for next, and how many it will draw then."""
    root = sweep.runs.absolute()
    try:
        study = Study(record.folder_of(root, sweep.name), sweep.name, sweep.definition, sweep.seeds, copy=True)
    except definition.BadSweep as error:
        raise UserError(f"this sweep cannot be used: {error}") from error
    held = study.held()
    study.repeat_missing(lambda run: not run or lookup.is_recorded(root / run))
    if retry:
        study.retry_failed()
    return held, *study.ahead()


def _row(
    sweep: Sweep, values: definition.Values, seed: int, known: Sequence[Timed], rows: Sequence[Row], retry: bool
) -> Row:
    label = definition.label(values)
    try:
        config = located(sweep.config(values, seed))
        run = identity.run_id(config)
        found = lookup.recorded(Path(config.runs) / run)
    except UserError as error:
        return Row(label, seed, "", "cannot be run", None, " ".join(str(error).split()))
    twin = next((i for i, row in enumerate(rows) if row.run == run), None)
    if twin is not None:
        return Row(label, seed, run, f"same as trial {twin}", None)
    if found and found.status == "done":
        return Row(label, seed, run, "take", None)
    if found and found.status == "failed" and not retry:
        return Row(label, seed, run, "leave failed", None)
    if found and found.status == "pruned" and sweep.definition.search.pruner != "none":
        return Row(label, seed, run, "leave pruned", None)
    told = estimate.estimate(config, known)
    if found and found.epoch and found.status != "pruned":
        rest = max(0.0, 1 - (found.epoch - 1) / config.train.epochs)  # of the epoch itself no one knows how much
        part = Estimate(told.hours * rest, told.accelerators, told.basis)
        return Row(label, seed, run, f"continue at epoch {found.epoch}", part)
    return Row(label, seed, run, "train", told)


def show(plan: SweepPlan, console: Console) -> None:
    """Print a plan: one line a trial, then the sums."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", "point", "seed", "run", "action", "hours", "accelerator-hours", "estimate"):
        grid.add_column(name, justify="right" if name in ("hours", "accelerator-hours", "seed") else "left")
    for number, row in enumerate(plan.rows):
        costs = _costs(row.estimate) if row.estimate else ("", "", Text(row.why))
        grid.add_row(str(number), Text(row.label), str(row.seed), row.run, row.action, *costs)
    if plan.drawn:
        grid.add_row("...", f"{plan.drawn} more, drawn by {plan.sweep.definition.search.sampler}", *[""] * 3)
    console.print(Text(f"{plan.sweep.name}: {plan.sweep.definition.title}", style="bold"))
    if plan.sweep.warning:
        console.print(Text(plan.sweep.warning, style="yellow"))
    if plan.held:
        told = ", ".join(f"{number} {state}" for state, number in plan.held.items())
        console.print(f"the study holds {sum(plan.held.values())} trials ({told}); what is left:")
    console.print(grid)
    counts = Counter(row.action.split(" at ")[0].split(" trial ")[0] for row in plan.rows)
    later = [f"{plan.drawn} drawn later"] if plan.drawn else []
    told = ", ".join([*(f"{n} {name}" for name, n in counts.items()), *later])
    console.print(f"{len(plan.rows) + plan.drawn} trials: {told or 'nothing is left to run'}")
    console.print(
        f"estimated: {_said(plan.hours)} hours one after the other, {_said(plan.accelerator_hours)} accelerator-hours"
    )


def _costs(found: Estimate) -> tuple[str, str, str]:
    return _said(found.hours), _said(found.hours * found.accelerators), found.basis


def _said(hours: float) -> str:
    return f"{hours:.3f}" if hours < 1 else f"{hours:,.1f}"
