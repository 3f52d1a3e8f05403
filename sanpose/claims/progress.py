"""What a sweep's claims have come to: decided, open, or given up, after every finished pair of runs.

Each claim has a group-sequential paired t-test over its seeds (`statistics.sequential`); the tests' repeated p-values
are corrected for the number of claims by Holm's method, which is valid at every moment since every repeated p-value is
(Maurer and Bretz, Multiple testing in group sequential trials using graphical approaches, 2013).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sanpose.claims.auto import AutoSeeds
from sanpose.claims.claim import Claim, key_of
from sanpose.statistics import FIRST_LOOK
from sanpose.statistics.paired import Paired, holm, paired
from sanpose.statistics.sequential import chances, repeated_p

Results = Mapping[str, Mapping[int, float | None]]
"""`key_of` a point -> seed -> the figure of its finished run, None for a failed run. Other seeds are absent."""
State = Literal["better", "worse", "open", "given up", "out of seeds", "out of time"]
_OPTIMISM = 0.9  # quantile: the effect that decides whether a claim is given up is the end of an 80 % interval


@dataclass(frozen=True)
class Progress:
    """One claim by now. `ours`: its differences, end minus start, None without a pair. `p`: repeated p-value;
    `corrected`: by Holm for the number of claims.

    `state`: "better" or "worse" (of the claim's end) when decided; "open"; "given up": too small a chance of a decision
    within the seeds that remain; "out of seeds", "out of time": no seed remains, or none fits the hours. `more`: how
    many more seeds decide an open claim with the wanted power, if the effect is as large as it looks now; None where
    unknown, or where too few seeds remain.
    """

    claim: Claim
    ours: Paired | None
    p: float | None
    corrected: float | None
    state: State
    more: int | None = None

    @property
    def seeds(self) -> int:
        return self.ours.pairs if self.ours else 0

    @property
    def settled(self) -> bool:
        return self.state != "open"


def progress(
    claims: Sequence[Claim],
    results: Results,
    auto: AutoSeeds,
    seeds: Sequence[int],
    *,
    lower_is_better: bool = True,
    rounds: int | None = None,
) -> tuple[Progress, ...]:
    """The claims by now. seeds: all that the sweep may use; rounds: how many more seeds of every open claim fit the
    time that remains, None for all."""
    differences = [differences_of(claim, results, seeds) for claim in claims]
    ps = [repeated_p(values, auto.max_seeds) for values in differences]
    corrected = holm(ps)
    undecided = sum(p is None or p > auto.alpha for p in corrected)
    states = []
    for claim, values, p, q in zip(claims, differences, ps, corrected, strict=True):
        ours = paired(values, resampled=False) if values else None
        now = Progress(claim, ours, p, q, "open")
        if ours is not None and q is not None and q <= auto.alpha:
            states.append(replace(now, state="better" if (ours.mean < 0) == lower_is_better else "worse"))
            continue
        seeds_left = len(remaining_seeds(claim, results, seeds))
        state, more = outlook(values, auto, undecided, seeds_left, rounds)
        states.append(replace(now, state=state, more=more))
    return tuple(states)


def outlook(
    differences: Sequence[float], auto: AutoSeeds, undecided: int, seeds: int, rounds: int | None = None
) -> tuple[State, int | None]:
    """The state of a claim that is not decided, and how many more seeds it probably needs.

    undecided: the number of claims that are not decided, among which the level is divided. seeds: how many the claim
    can still get. rounds: how many fit the time, None for all.
    """
    if seeds <= 0:
        return "out of seeds", None
    if rounds == 0:
        return "out of time", None
    ours = paired(differences, resampled=False) if len(differences) >= FIRST_LOOK else None
    if ours is None:
        return "open", None
    if not ours.deviation:  # two points that are one run, or a figure that no seed changes
        return "given up", None
    remaining = seeds if rounds is None else min(seeds, rounds)

    def chance(effect: float) -> Sequence[float]:
        """Of a decision with 1, 2, ... more seeds, for a true effect in standard deviations."""
        return [float(c) for c in chances(differences, effect, auto.alpha / undecided, auto.max_seeds)[:remaining]]

    if (chance(_largest(ours)) or [0.0])[-1] < 1 - auto.power:
        return ("given up" if remaining == seeds else "out of time"), None
    likely = chance(_standardised(ours))
    return "open", next((n for n, share in enumerate(likely, start=1) if share >= auto.power), None)


def differences_of(claim: Claim, results: Results, seeds: Sequence[int]) -> list[float]:
    """End minus start for the seeds with both figures, up to the first seed that has not ended in both: a later seed
    must not take an earlier seed's place among the looks."""
    start, end = (results.get(key_of(point), {}) for point in claim.points)
    ended = itertools.takewhile(lambda seed: seed in start and seed in end, seeds)
    pairs = ((start[seed], end[seed]) for seed in ended)
    return [after - before for before, after in pairs if before is not None and after is not None]


def remaining_seeds(claim: Claim, results: Results, seeds: Sequence[int]) -> list[int]:
    """The seeds without a result in one of a claim's points."""
    start, end = (results.get(key_of(point), {}) for point in claim.points)
    return [seed for seed in seeds if seed not in start or seed not in end]


def _standardised(ours: Paired) -> float:
    return ours.mean / (ours.deviation or 1.0)


def _largest(ours: Paired) -> float:
    """The far end of the 80 % interval of the effect, in standard deviations, with the sign of the mean."""
    from scipy import special

    effect = _standardised(ours)
    half = float(special.stdtrit(ours.pairs - 1, _OPTIMISM)) / math.sqrt(ours.pairs)
    return effect + math.copysign(half, effect)
