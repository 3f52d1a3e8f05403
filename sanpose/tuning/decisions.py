"""The driver's side of `seeds=auto`: after every result, what is decided, what is trained next, and a record of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sanpose.claims import record as claims_record
from sanpose.claims.allocation import wanted
from sanpose.claims.auto import AutoSeeds
from sanpose.claims.claim import Claim, claims_of, key_of
from sanpose.claims.progress import Progress, Results, progress
from sanpose.claims.record import ClaimsRecord
from sanpose.runs import facts, lookup
from sanpose.tuning.sweep import Sweep
from sweeps.definition import MINIMISED, Values
from sweeps.study import TrialResult

_HOUR = 3600.0


@dataclass
class Decisions:
    """The claims of one sweep while it runs. concurrent: how many trials run side by side; say: prints a line; save:
    writes the record.

    A function of the study's results, and with `hours` of the time since `started`: nothing is lost when the driver
    dies.
    """

    sweep: Sweep
    auto: AutoSeeds
    concurrent: Callable[[], int] = lambda: 1
    say: Callable[[str], None] = lambda _: None
    save: Callable[[ClaimsRecord], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    claims: tuple[Claim, ...] = field(init=False)
    _settled: set[str] = field(default_factory=set)
    _saved: ClaimsRecord | None = None
    _hours: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.claims = claims_of(self.sweep.definition.grid())

    def more(self, trials: Sequence[TrialResult]) -> list[tuple[Values, int]]:
        """The points and seeds to train next (`sweeps.study.More`): nothing before every trial has ended, then a round.
        Prints the claims that are settled now, and saves the record."""
        if not all(trial.ended for trial in trials):
            return []  # a look in the middle of a round would depend on which run is faster
        state = self.state(trials)
        for one in state:
            if one.settled and one.claim.step not in self._settled:
                self._settled.add(one.claim.step)
                self.say(_sentence(one))
        content = self.content(state, trials)
        if content != self._saved:
            self.save(content)
            self._saved = content
        started = {(key_of(trial.values), trial.seed) for trial in trials}
        return wanted(state, results_of(trials), started, self.sweep.usable_seeds)

    def state(self, trials: Sequence[TrialResult]) -> tuple[Progress, ...]:
        """The claims by now."""
        results, seeds = results_of(trials), self.sweep.usable_seeds
        lower = self.sweep.definition.search.objectives[0] in MINIMISED
        state = progress(self.claims, results, self.auto, seeds, lower_is_better=lower)
        rounds = self._rounds(state, trials)
        if rounds is None:
            return state
        return progress(self.claims, results, self.auto, seeds, lower_is_better=lower, rounds=rounds)

    def content(self, state: Sequence[Progress], trials: Sequence[TrialResult]) -> ClaimsRecord:
        """The record of the claims by now."""
        points, seeds = self.sweep.definition.grid(), len(self.sweep.usable_seeds)
        is_open = {key_of(point) for one in state if not one.settled for point in one.claim.points}
        started = {key_of(point): 0 for point in points}
        for trial in trials:
            started[key_of(trial.values)] += 1
        saved = {key: seeds - count for key, count in started.items() if key not in is_open}
        hours = self._mean_hours(trials)
        savings = [hours[key] * count for key, count in saved.items() if key in hours]
        return ClaimsRecord(
            self.auto,
            tuple(map(claims_record.line, state)),
            sum(started.values()),
            len(points) * seeds,
            sum(saved.values()),
            round(sum(savings), 3) if savings else None,
        )

    def _rounds(self, state: Sequence[Progress], trials: Sequence[TrialResult]) -> int | None:
        """How many more seeds of every open claim probably fit the hours; None without a limit, or before the first
        time is known."""
        if self.auto.hours is None:
            return None
        remaining = self.auto.hours - (self.clock() - self.started) / _HOUR
        hours = self._mean_hours(trials)
        points = {key_of(point) for one in state if not one.settled for point in one.claim.points}
        times = [hours[key] for key in points if key in hours]
        if not times:
            return None if remaining > 0 else 0
        together = max(max(times), sum(times) / self.concurrent())
        return max(0, int(remaining / together))

    def _mean_hours(self, trials: Sequence[TrialResult]) -> Mapping[str, float]:
        """`key_of` a point -> the mean hours of its finished runs."""
        hours: dict[str, list[float]] = {}
        for trial in trials:
            if trial.figure is None:
                continue
            if trial.run not in self._hours:
                run = lookup.recorded(self.sweep.runs.absolute() / trial.run)
                self._hours[trial.run] = (facts.bill(run).wall_s or 0.0) / _HOUR if run else 0.0
            if self._hours[trial.run]:
                hours.setdefault(key_of(trial.values), []).append(self._hours[trial.run])
        return {key: sum(own) / len(own) for key, own in hours.items()}


def results_of(trials: Sequence[TrialResult]) -> Results:
    """The figures of the trials that have ended. Of two trials of one point and seed, a figure counts."""
    results: dict[str, dict[int, float | None]] = {}
    for trial in trials:
        if trial.ended:
            own = results.setdefault(key_of(trial.values), {})
            own[trial.seed] = trial.figure if trial.figure is not None else own.get(trial.seed)
    return results


def _sentence(one: Progress) -> str:
    """One settled claim, in one line."""
    name = f"{one.claim.step} ({one.claim.choice})" if one.claim.choice else one.claim.step
    seeds = f"{one.seeds} seed" + ("s" if one.seeds != 1 else "")
    if one.state in ("better", "worse") and one.ours is not None:
        return f"{name} is decided with {seeds}: {one.state}, {one.ours.mean:+.2f}, p (Holm) {one.corrected:.4f}"
    return f"{name} ends undecided with {seeds}: {_REASONS.get(one.state, one.state)}"


_REASONS = {
    "given up": "too small a chance of a decision with the seeds that remain",
    "out of seeds": "no seed remains",
    "out of time": "no further seed fits the hours",
}
