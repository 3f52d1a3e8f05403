"""`sanpose tune --dry-run`: the trials that a sweep would train or take from the ledger, and the estimated cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sanpose.claims.auto import AutoSeeds
from sanpose.claims.claim import key_of
from sanpose.claims.progress import Progress
from sanpose.claims.record import line
from sanpose.errors import UserError
from sanpose.runs import ledger, lookup
from sanpose.runs.identity import identify
from sanpose.tuning import estimate
from sanpose.tuning.decisions import Decisions
from sanpose.tuning.estimate import Estimate, Timed
from sanpose.tuning.figures import figures_of
from sanpose.tuning.sweep import Sweep
from sweeps import definition, record
from sweeps.study import Study, TrialResult


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
    each estimated as `typical`; with seeds=auto, how many may follow at most. `recorded`: how many trials of a search
    are done, pruned, failed and running. `claims`: with seeds=auto, what the recorded runs say."""

    sweep: Sweep
    rows: tuple[Row, ...]
    drawn: int
    typical: Estimate | None
    recorded: Mapping[str, int] = field(default_factory=dict)
    claims: tuple[Progress, ...] = ()

    @property
    def hours(self) -> float:
        """Hours if the trials run one after the other, with all those that may follow."""
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
    if sweep.auto:
        return _growing(sweep, sweep.auto, timed, retry_failed)
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


def _growing(sweep: Sweep, auto: AutoSeeds, timed: Sequence[Timed], retry: bool) -> SweepPlan:
    """The plan of seeds=auto: the trials that are certain, and how many may follow."""
    decisions = Decisions(sweep, auto)
    rows: list[Row] = []
    trials: list[TrialResult] = []
    points = [(values, seed) for seed in sweep.seed_range for values in sweep.definition.grid()]
    while points:
        for values, seed in points:
            rows.append(_row(sweep, values, seed, timed, rows, retry))
            trials.append(_result(sweep, values, rows[-1]))
        points = decisions.more(trials)
    state = decisions.state(trials)
    is_open = {key_of(point) for one in state if not one.settled for point in one.claim.points}
    planned = Counter(key_of(trial.values) for trial in trials)
    later = sum(len(sweep.usable_seeds) - planned[key] for key in is_open)
    return SweepPlan(sweep, tuple(rows), later, _typical(sweep, timed) if later else None, claims=state)


def _result(sweep: Sweep, values: definition.Values, row: Row) -> TrialResult:
    """The result of a planned trial whose run is done or has failed."""
    before = lookup.recorded(sweep.runs.absolute() / row.run) if row.action == "take" else None
    figure = figures_of(before).get(sweep.definition.search.objectives[0]) if before else None
    ended = figure is not None or row.action in ("leave failed", "cannot be run")
    return TrialResult(values, row.seed, row.run, figure, ended)


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
        by = f"drawn by {plan.sweep.definition.search.sampler}"
        more = "for claims that are still open" if plan.sweep.auto else by
        grid.add_row("...", f"{'at most ' if plan.sweep.auto else ''}{plan.drawn} more, {more}", *[""] * 3)
    console.print(Text(f"{plan.sweep.name}: {plan.sweep.definition.title}", style="bold"))
    if plan.sweep.warning:
        console.print(Text(plan.sweep.warning, style="yellow"))
    if plan.recorded:
        counts_text = ", ".join(f"{number} {state}" for state, number in plan.recorded.items())
        console.print(f"the study has {sum(plan.recorded.values())} trials ({counts_text}); what remains:")
    console.print(grid)
    for one in plan.claims:
        console.print(Text(f"{one.claim.step}  {one.claim.choice}: {line(one).text}"))
    counts = Counter(row.action.split(" at ")[0].split(" trial ")[0] for row in plan.rows)
    bound = "up to " if plan.sweep.auto and plan.drawn else ""
    later = [f"{bound}{plan.drawn} {'later' if plan.sweep.auto else 'drawn later'}"] if plan.drawn else []
    actions = ", ".join([*(f"{n} {name}" for name, n in counts.items()), *later])
    console.print(f"{bound}{len(plan.rows) + plan.drawn} trials: {actions or 'nothing remains to run'}")
    hours, accelerator_hours = _hours(plan.hours), _hours(plan.accelerator_hours)
    console.print(f"estimated: {bound}{hours} hours one after the other, {accelerator_hours} accelerator-hours")


def _costs(cost: Estimate) -> tuple[str, str, str]:
    return _hours(cost.hours), _hours(cost.hours * cost.accelerators), cost.basis


def _hours(hours: float) -> str:
    return f"{hours:.3f}" if hours < 1 else f"{hours:,.1f}"
