"""`sanpose tune --dry-run`: the trials that a sweep would train or take from the ledger, and the estimated cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sanpose.errors import UserError
from sanpose.runs import ledger, lookup
from sanpose.runs.identity import identify
from sanpose.tuning import estimate
from sanpose.tuning.estimate import Estimate, Timed
from sanpose.tuning.sweep import Sweep
from sweeps import definition, record
from sweeps.study import Study


@dataclass(frozen=True)
class Row:
    """One planned trial. `action`: "train", "resume at epoch k", "take", "leave failed", "leave pruned", "same as
    trial k", or "cannot be run" for the reason `why`."""

    label: str
    seed: int
    run: str
    action: str
    estimate: Estimate | None
    why: str = ""


@dataclass(frozen=True)
class SweepPlan:
    """`rows`: the known trials; for a search only those that remain. `drawn`: trials that the sampler will draw later,
    each estimated as `typical`. `recorded`: how many trials of a search are done, pruned, failed and running."""

    sweep: Sweep
    rows: tuple[Row, ...]
    drawn: int
    typical: Estimate | None
    recorded: Mapping[str, int] = field(default_factory=dict)

    @property
    def hours(self) -> float:
        """Hours if the trials run one after the other."""
        return sum(e.hours for e in self._estimates())

    @property
    def accelerator_hours(self) -> float:
        return sum(e.hours * e.accelerators for e in self._estimates())

    def _estimates(self) -> list[Estimate]:
        estimates = [row.estimate for row in self.rows if row.estimate]
        return estimates + ([self.typical] * self.drawn if self.typical else [])


def make(sweep: Sweep, retry_failed: bool = False) -> SweepPlan:
    """The plan of a sweep from the records, and for a search from its study. Starts and writes nothing. Raises
    UserError when a record or the study cannot be read."""
    timed = estimate.timed(ledger.read_all(sweep.runs)[0] if sweep.runs.is_dir() else [])
    if sweep.definition.search.sampler == "grid":
        points = [(values, seed) for seed in sweep.seed_range for values in sweep.definition.grid()]
        recorded: dict[str, int] = {}
        drawn = 0
    else:
        recorded, points, drawn = _searched(sweep, retry_failed)
    rows: list[Row] = []
    for values, seed in points:
        rows.append(_row(sweep, values, seed, timed, rows, retry_failed))
    return SweepPlan(sweep, tuple(rows), drawn, _typical(sweep, timed) if drawn else None, recorded)


def _typical(sweep: Sweep, timed: Sequence[Timed]) -> Estimate:
    """The mean of the checked points whose data can be read. Raises UserError when there are none."""
    estimates, problem = [], None
    for config in sweep.checked.configs:
        try:
            estimates.append(estimate.estimate(config, timed))
        except UserError as error:
            problem = error
    if problem and not estimates:
        raise problem
    return estimate.mean(estimates)


def _searched(sweep: Sweep, retry: bool) -> tuple[dict[str, int], list[tuple[definition.Values, int]], int]:
    """The counts of a search's study, the known points and seeds that remain, and the number of trials to draw."""
    root = sweep.runs.absolute()
    folder = record.folder_of(root, sweep.name)
    try:
        study = Study(folder, sweep.name, sweep.definition, sweep.seeds, first_seed=sweep.first_seed, copy=True)
    except definition.BadSweep as error:
        raise UserError(f"this sweep cannot be used: {error}") from error
    recorded = study.counts()
    study.repeat_missing(lambda run: not run or lookup.is_recorded(root / run))
    if retry:
        study.retry_failed()
    return recorded, *study.ahead()


def _row(
    sweep: Sweep, values: definition.Values, seed: int, timed: Sequence[Timed], rows: Sequence[Row], retry: bool
) -> Row:
    label = definition.label(values)
    try:
        identified = identify(sweep.config(values, seed))
        config, run = identified.config, identified.id
        before = lookup.recorded(identified.paths.folder)
    except UserError as error:
        return Row(label, seed, "", "cannot be run", None, " ".join(str(error).split()))
    twin = next((i for i, row in enumerate(rows) if row.run == run), None)
    if twin is not None:
        return Row(label, seed, run, f"same as trial {twin}", None)
    if before and before.status == "done":
        return Row(label, seed, run, "take", None)
    if before and before.status == "failed" and not retry:
        return Row(label, seed, run, "leave failed", None)
    if before and before.status == "pruned" and sweep.definition.search.pruner != "none":
        return Row(label, seed, run, "leave pruned", None)
    whole = estimate.estimate(config, timed)
    if before and before.epoch and before.status != "pruned":
        fraction = max(0.0, 1 - (before.epoch - 1) / config.train.epochs)  # a started epoch counts as not trained
        part = Estimate(whole.hours * fraction, whole.accelerators, whole.basis)
        return Row(label, seed, run, f"resume at epoch {before.epoch}", part)
    return Row(label, seed, run, "train", whole)


def show(plan: SweepPlan, console: Console) -> None:
    """Print a plan: one line for each trial, then the totals."""
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
    if plan.recorded:
        counts_text = ", ".join(f"{number} {state}" for state, number in plan.recorded.items())
        console.print(f"the study has {sum(plan.recorded.values())} trials ({counts_text}); what remains:")
    console.print(grid)
    counts = Counter(row.action.split(" at ")[0].split(" trial ")[0] for row in plan.rows)
    later = [f"{plan.drawn} drawn later"] if plan.drawn else []
    actions = ", ".join([*(f"{n} {name}" for name, n in counts.items()), *later])
    console.print(f"{len(plan.rows) + plan.drawn} trials: {actions or 'nothing remains to run'}")
    console.print(
        f"estimated: {_hours(plan.hours)} hours one after the other, {_hours(plan.accelerator_hours)} accelerator-hours"
    )


def _costs(cost: Estimate) -> tuple[str, str, str]:
    return _hours(cost.hours), _hours(cost.hours * cost.accelerators), cost.basis


def _hours(hours: float) -> str:
    return f"{hours:.3f}" if hours < 1 else f"{hours:,.1f}"
