"""`sanpose tune --dry-run`: what a sweep would run, what it would take from the ledger, and what that would cost.

Hours come from recorded runs where there are any: of the same network, input and batch by their images per second,
else of the nearest network by multiply-accumulates. Without records they are guessed. What they rest on is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sanpose import config as configuration
from sanpose import recording
from sanpose.config import Config
from sanpose.errors import UserError
from sanpose.report.cost import cost
from sanpose.sweep import Sweep
from sweeps import definition, ledger, record
from sweeps.ledger import Record
from sweeps.study import Study

GUESSED_CORE_MACS, GUESSED_GPU_MACS = 5e9, 5e12  # per second, of training: a rough guess, said to be one
_PASSES = 3  # forwards, and backwards twice as much


@dataclass(frozen=True)
class Estimate:
    """Hours of one trial on `accelerators` cores or GPUs, and what they rest on."""

    hours: float
    accelerators: int
    basis: str


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
class Plan:
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


def make(sweep: Sweep, retry_failed: bool = False) -> Plan:
    """The plan of a sweep, from the records that there are, and for a search from its study. Nothing is started or
    written. Raises UserError when they cannot be read."""
    records = ledger.read_all(sweep.runs)[0] if sweep.runs.is_dir() else []
    if sweep.definition.search.sampler == "grid":
        asked = [(values, seed) for seed in range(sweep.seeds) for values in sweep.definition.grid()]
        held: dict[str, int] = {}
        drawn = 0
    else:
        held, asked, drawn = _searched(sweep, retry_failed)
    rows: list[Row] = []
    for values, seed in asked:
        rows.append(_row(sweep, values, seed, records, rows, retry_failed))
    samples = [estimate(config, records) for config in sweep.checked.configs] if drawn else []
    return Plan(sweep, tuple(rows), drawn, _mean(samples), held)


def _searched(sweep: Sweep, retry: bool) -> tuple[dict[str, int], list[tuple[definition.Values, int]], int]:
    """What a search's study holds, the points and seeds that it asks for next, and how many it will draw then."""
    root = sweep.runs.absolute()
    try:
        study = Study(record.folder_of(root, sweep.name), sweep.name, sweep.definition, sweep.seeds, copy=True)
    except definition.BadSweep as error:
        raise UserError(f"this sweep cannot be used: {error}") from error
    held = study.held()
    study.repeat_missing(lambda run: not run or (root / run / "result.json").exists())
    if retry:
        study.retry_failed()
    return held, *study.ahead()


def _row(
    sweep: Sweep, values: definition.Values, seed: int, records: Sequence[Record], rows: Sequence[Row], retry: bool
) -> Row:
    label = definition.label(values)
    try:
        config = configuration.located(sweep.config(values, seed))
        run = recording.run_id(config)
    except UserError as error:
        return Row(label, seed, "", "cannot be run", None, " ".join(str(error).split()))
    twin = next((i for i, row in enumerate(rows) if row.run == run), None)
    if twin is not None:
        return Row(label, seed, run, f"same as trial {twin}", None)
    found = recording.recorded(Path(config.runs) / run)
    if found and found.status == "done":
        return Row(label, seed, run, "take", None)
    if found and found.status == "failed" and not retry:
        return Row(label, seed, run, "leave failed", None)
    if found and found.status == "pruned" and sweep.definition.search.pruner != "none":
        return Row(label, seed, run, "leave pruned", None)
    told = estimate(config, records)
    if found and found.epoch and found.status != "pruned":
        rest = max(0.0, 1 - found.epoch / config.train.epochs)
        part = Estimate(told.hours * rest, told.accelerators, told.basis)
        return Row(label, seed, run, f"continue at epoch {found.epoch}", part)
    return Row(label, seed, run, "train", told)


def estimate(config: Config, records: Sequence[Record]) -> Estimate:
    """What training a configuration would take, by the records of finished runs."""
    images, macs = _images(config), _macs(config.plain())
    timed = [r for r in records if r.status == "done" and r.extra.get("bill") and _recorded_images(r)]
    same = [r for r in timed if _speed_key(r.config) == _speed_key(config.plain())]
    if same:
        seconds = sum(r.extra["bill"]["wall_s"] / _recorded_images(r) for r in same) / len(same)
        many = int(same[0].extra["bill"]["accelerators"])
        return Estimate(seconds * images / 3600, many, f"measured, {len(same)} runs of this network")
    near = [r for r in timed if r.config["train"]["accelerator"] == config.train.accelerator and _macs(r.config)]
    if near and macs:
        best = min(near, key=lambda r: abs(_macs(r.config) - macs))
        seconds = best.extra["bill"]["wall_s"] / _recorded_images(best) * macs / _macs(best.config)
        return Estimate(seconds * images / 3600, int(best.extra["bill"]["accelerators"]), f"scaled from run {best.id}")
    cpu = config.train.accelerator == "cpu"
    many = config.train.workers * (recording.cores(config) if cpu else 1)
    rate = (GUESSED_CORE_MACS if cpu else GUESSED_GPU_MACS) * many
    return Estimate(_PASSES * macs * images / rate / 3600, many, "a guess, from multiply-accumulates")


def _images(config: Config) -> int:
    """Images that a training looks at."""
    if config.data.epoch_samples:
        return config.train.epochs * config.data.epoch_samples
    from sanpose.data import loader

    return config.train.epochs * loader.training_set(config, loader.open_sources(config)).mix.length


def _recorded_images(record: Record) -> int:
    return int(record.extra["bill"].get("images") or 0)


def _macs(plain: dict[str, object]) -> int:
    found = cost(plain)
    return found.macs if found else 0


def _speed_key(plain: dict[str, object]) -> tuple[object, ...]:
    """What decides how long one image takes."""
    model, data, train = (dict(plain[name]) for name in ("model", "data", "train"))  # type: ignore[call-overload]
    network = {k: v for k, v in model.items() if k not in ("weights", "delta_init")}
    rest = [train[k] for k in ("batch_size", "precision", "accumulation", "workers", "threads", "accelerator")]
    return repr(network), data["input_width"], data["input_height"], *rest


def _mean(found: Sequence[Estimate]) -> Estimate | None:
    if not found:
        return None
    return Estimate(sum(e.hours for e in found) / len(found), found[0].accelerators, found[0].basis)


def show(plan: Plan, console: Console) -> None:
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
    told = ", ".join(f"{n} {name}" for name, n in counts.items()) + (
        f", {plan.drawn} drawn later" if plan.drawn else ""
    )
    console.print(f"{len(plan.rows) + plan.drawn} trials: {told or 'nothing is left to run'}")
    console.print(
        f"estimated: {_said(plan.hours)} hours one after the other, {_said(plan.accelerator_hours)} accelerator-hours"
    )


def _costs(found: Estimate) -> tuple[str, str, str]:
    return _said(found.hours), _said(found.hours * found.accelerators), found.basis


def _said(hours: float) -> str:
    return f"{hours:.3f}" if hours < 1 else f"{hours:,.1f}"
