"""A sweep's Optuna study: which point comes next, and the outcome of every trial, all on disk.

One trial of the study is one run: a point with one seed. The study outlives the driver: a trial that was running when
its driver died is started again, with the same point and seed. A grid is a study whose points are enqueued.
Knows points, seeds, run ids and figures; does not know what is trained.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps import storage
from sweeps.definition import Axis, Definition, Search, Values
from sweeps.journal_file import Patiently, at_once
from sweeps.outcomes import Figures

if TYPE_CHECKING:
    import optuna

_PRUNED = "given_up"  # the attribute of a trial that the pruner has decided to prune
_WARM_UP = 8  # random points before a model-based sampler has a model


@dataclass(frozen=True)
class TrialSpec:
    """A trial to run: its number in the study, its point, its seed. `repeats`: the number of the trial that this trial
    replaces."""

    number: int
    values: Values
    seed: int
    repeats: int | None = None


@dataclass(frozen=True)
class TrialResult:
    """A trial of the study by now. `figure`: of the first objective; None unless the trial is done. `ended`: done,
    failed or pruned."""

    values: Values
    seed: int
    run: str
    figure: float | None
    ended: bool


More = Callable[[Sequence[TrialResult]], Sequence[tuple[Values, int]]]
"""The points and seeds that a grid's results call for, after every trial that counts."""


class Study:
    """The study of one sweep, opened or created.

    `seeds`: the number of runs of every point, with the seeds from `first_seed` on. `copy`: work on a copy in memory,
    and leave the stored study as it is. `patiently`: how to write into the folder. `more`: of a grid that grows with
    its results, what to run next; None for a grid with the same seeds for every point. `distributions`: Optuna's form
    of the axes. Raises BadSweep as `storage` does.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        definition: Definition,
        seeds: int,
        *,
        first_seed: int = 0,
        copy: bool = False,
        patiently: Patiently = at_once,
        more: More | None = None,
    ):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("optuna").propagate = False
        self.definition, self.search, self.seeds = definition, definition.search, range(first_seed, first_seed + seeds)
        self.more = more
        self.distributions = {axis.name: _distribution(axis) for axis in definition.axes}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            location = (folder, name, self.search)
            self.study = storage.copied(*location) if copy else storage.opened(*location, patiently)
        self.study.pruner = _pruner(self.search)
        self.study.sampler = _sampler(self.search, 0)
        self._open: dict[int, optuna.Trial] = {}
        self._orphans: Iterator[TrialSpec] = iter(())  # trials of a dead driver
        self._enqueue()

    def next(self) -> TrialSpec | None:
        """The next trial to run: a trial of a dead driver, an enqueued trial, or a trial that the sampler draws. None
        when the study is finished."""
        orphan = next(self._orphans, None)
        if orphan:
            return orphan
        if not self._waiting():
            self._grow()
        if not self._waiting():
            count = self._count()
            if self.search.sampler == "grid" or count >= self.search.trials * len(self.seeds):
                return None
            self.study.sampler = _sampler(self.search, count)
        trial = self.study.ask(self.distributions)
        self._open[trial.number] = trial
        if "seed" not in trial.user_attrs:  # drawn by the sampler: enqueue the other seeds of this point
            trial.set_user_attr("seed", self.seeds[0])
            for seed in self.seeds[1:]:
                self._add(dict(trial.params), seed)
        return self._spec(trial)

    @property
    def grows(self) -> bool:
        """Whether the outcome of a running trial may add others."""
        return self.more is not None

    def results(self) -> list[TrialResult]:
        """Every trial that counts: those that no other trial repeats."""
        repeated = {t.user_attrs["repeats"] for t in self.study.get_trials(deepcopy=False) if "repeats" in t.user_attrs}
        return [
            TrialResult(
                _params(trial),
                int(trial.user_attrs.get("seed", 0)),
                str(trial.user_attrs.get("run", "")),
                trial.values[0] if trial.values else None,
                trial.state.is_finished(),
            )
            for trial in self.study.get_trials(deepcopy=False)
            if self._sound(trial) and trial.number not in repeated
        ]

    def counts(self) -> dict[str, int]:
        """How many trials of the study are done, pruned, failed and running."""
        names = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
        states = Counter(trial.state.name for trial in self.study.get_trials(deepcopy=False))
        return {name: states[state] for state, name in names.items() if states[state]}

    def ahead(self) -> tuple[list[tuple[Values, int]], int]:
        """What remains to run, if no trial fails: the known points and seeds, trials of a dead driver included, and how
        many trials the sampler will draw. Call this on a copy."""
        import optuna

        points = [(trial.values, trial.seed) for trial in self._orphans]
        waiting = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
        points += [(_params(trial), int(trial.user_attrs["seed"])) for trial in waiting]
        drawn = 0 if self.search.sampler == "grid" else self.search.trials * len(self.seeds)
        return points, max(0, drawn - self._count() - len(waiting))

    def remaining(self) -> int:
        """How many trials have not finished: running, enqueued, and still to be drawn."""
        states = Counter(trial.state.name for trial in self.study.get_trials(deepcopy=False) if self._sound(trial))
        drawn = 0 if self.search.sampler == "grid" else self.search.trials * len(self.seeds)
        return states["RUNNING"] + states["WAITING"] + max(0, drawn - self._count() - states["WAITING"])

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Record an intermediate score. True when the trial must be pruned, and at every later report."""
        trial = self._open[number]
        if _PRUNED in trial.user_attrs:  # an earlier driver died before the trial stopped: a pruner decides once
            return True
        if len(self.search.objectives) > 1 or not math.isfinite(value):
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a resumed run repeats its reports
            trial.report(value, epoch)
        if self.search.pruner == "none" or not trial.should_prune():
            return False
        trial.set_user_attr(_PRUNED, True)
        return True

    def tell(self, number: int, run: str, figures: Figures) -> None:
        """Record the figures of a finished trial. A trial without a finite value of every objective has failed."""
        objectives = [figures.get(name) for name in self.search.objectives]
        values = [float(v) for v in objectives if v is not None and math.isfinite(v)]
        if len(values) < len(objectives):
            return self.fail(number, run, f"without {', '.join(self.search.objectives)}")
        return self._close(number, run, "COMPLETE", values)

    def prune(self, number: int, run: str) -> None:
        self._close(number, run, "PRUNED", None)

    def fail(self, number: int, run: str, reason: str) -> None:
        self._open[number].set_user_attr("reason", reason)
        self._close(number, run, "FAIL", None)

    def _close(self, number: int, run: str, state: str, values: list[float] | None) -> None:
        import optuna

        trial = self._open.pop(number)
        trial.set_user_attr("run", run)
        self.study.tell(trial, values, state=optuna.trial.TrialState[state])

    def retry_failed(self) -> int:
        """Enqueue the points of failed trials again; returns their number."""
        failed = self._failed()
        for trial in failed:
            self._again(trial)
        return len(failed)

    def failed(self) -> set[int]:
        """The numbers of failed trials, one for each point and seed without a better trial."""
        return {trial.number for trial in self._failed()}

    def _failed(self) -> list[optuna.trial.FrozenTrial]:
        import optuna

        states = optuna.trial.TrialState
        trials = [t for t in self.study.get_trials(deepcopy=False) if self._sound(t)]
        covered = {_key(t) for t in trials if t.state != states.FAIL}
        failed = {_key(t): t for t in trials if t.state == states.FAIL and _key(t) not in covered}
        return list(failed.values())

    def repeat_missing(self, exists: Callable[[str], bool]) -> int:
        """Enqueue again the finished trials whose run no longer exists; returns their number."""
        import optuna

        complete = optuna.trial.TrialState.COMPLETE
        trials = self.study.get_trials(deepcopy=False, states=(complete,))
        done = self._repeated()
        missing = [t for t in trials if t.number not in done and not exists(str(t.user_attrs.get("run")))]
        for trial in missing:
            self._again(trial)
        return len(missing)

    def _again(self, trial: optuna.trial.FrozenTrial) -> None:
        self._add(_params(trial), int(trial.user_attrs.get("seed", 0)), repeats=trial.number)

    def _repeated(self) -> set[int]:
        """The numbers of trials that a later, completely drawn trial replaces."""
        trials = self.study.get_trials(deepcopy=False)
        return {t.user_attrs["repeats"] for t in trials if "repeats" in t.user_attrs and self._sound(t)}

    def _sound(self, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether a trial has its whole point: a driver can die while the sampler draws it."""
        return bool(trial.state.name == "WAITING" or trial.params.keys() == self.distributions.keys())

    def _enqueue(self) -> None:
        """Adopt the running trials of a dead driver, and enqueue the points and seeds that the study does not have
        yet."""
        import optuna

        states = optuna.trial.TrialState
        trials = self.study.get_trials(deepcopy=False)
        whole = [t for t in trials if self._sound(t)]
        for frozen in (t for t in whole if t.state == states.RUNNING):
            self._open[frozen.number] = optuna.Trial(self.study, frozen._trial_id)
        for frozen in (t for t in trials if t.state == states.RUNNING and not self._sound(t)):
            self.study.tell(frozen.number, state=states.FAIL)  # its driver died before the trial had a point
        self._orphans = iter([self._spec(trial) for trial in self._open.values()])
        points = self.definition.grid() if self.search.sampler == "grid" else self.definition.first()
        if self.search.sampler != "grid":
            points += [_params(t) for t in whole]
        keys = {_key(t) for t in whole}
        for seed, point in itertools.product(self.seeds, points):
            if _identity(point, seed) not in keys:
                keys.add(_identity(point, seed))
                self._add(point, seed)

    def _grow(self) -> None:
        """Enqueue what the results call for, unless the study has it."""
        if self.more is None:
            return
        results = self.results()
        keys = {_identity(result.values, result.seed) for result in results}
        for point, seed in self.more(results):
            if _identity(point, seed) not in keys:
                self._add(point, seed)

    def _add(self, point: Values, seed: int, **attributes: int) -> None:
        self.study.enqueue_trial(point, user_attrs={"seed": seed, **attributes})

    def _waiting(self) -> bool:
        import optuna

        return bool(self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)))

    def _count(self) -> int:
        import optuna

        waiting = optuna.trial.TrialState.WAITING
        repeated = self._repeated()
        trials = self.study.get_trials(deepcopy=False)
        return sum(t.state != waiting and self._sound(t) and t.number not in repeated for t in trials)

    def _spec(self, trial: optuna.Trial) -> TrialSpec:
        point = {axis.name: trial.params[axis.name] for axis in self.definition.axes}
        attributes = trial.user_attrs
        return TrialSpec(trial.number, point, int(attributes.get("seed", 0)), attributes.get("repeats"))


def _params(trial: optuna.trial.FrozenTrial) -> Values:
    """A trial's point, also while the trial waits."""
    return dict(trial.params or trial.system_attrs.get("fixed_params", {}))


def _key(trial: optuna.trial.FrozenTrial) -> str:
    return _identity(_params(trial), int(trial.user_attrs.get("seed", 0)))


def _identity(point: Values, seed: int) -> str:
    return repr((sorted((name, str(value)) for name, value in point.items()), seed))


def _distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    import optuna

    if axis.range is None:
        return optuna.distributions.CategoricalDistribution(list(axis.options))
    low, high, log = axis.range.low, axis.range.high, axis.range.log
    if axis.range.whole:
        return optuna.distributions.IntDistribution(int(low), int(high), log=log)
    return optuna.distributions.FloatDistribution(low, high, log=log)


def _sampler(search: Search, count: int) -> optuna.samplers.BaseSampler:
    """The sampler that draws the trial after `count` others. Every trial has its own sampler: what it draws depends on
    the search's seed, on the count and on the finished trials, but not on how often the driver was started."""
    import optuna

    samplers = optuna.samplers
    seed = int.from_bytes(hashlib.sha256(f"{search.seed} {count}".encode()).digest()[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match search.sampler:
            case "tpe":
                return samplers.TPESampler(seed=seed, n_startup_trials=_WARM_UP, constant_liar=True)
            case "gp":
                return samplers.GPSampler(seed=seed, n_startup_trials=_WARM_UP)
            case "nsga2":
                return samplers.NSGAIISampler(seed=seed, population_size=max(4, search.trials // 4))
            case _:
                return samplers.RandomSampler(seed=seed)


def _pruner(search: Search) -> optuna.pruners.BasePruner:
    import optuna

    match search.pruner:
        case "asha":
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=search.grace, reduction_factor=search.reduction)
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=search.grace - 1)
        case _:
            return optuna.pruners.NopPruner()
