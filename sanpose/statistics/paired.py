"""Statistics of a few paired differences: interval, test, and the number of pairs that a decision needs.

Plain numbers in and out; does not know runs.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LEVEL = 0.95  # of the intervals; a test decides at 1 - LEVEL
POWER = 0.8
MOST = 1000  # larger numbers of pairs are not suggested
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Paired:
    """Differences of pairs, in their own unit. `interval`: Student's t; `bootstrap`: percentile, on request; `p`: of
    the two-sided paired t-test. All three are None for fewer than two pairs, and where all differences are equal."""

    mean: float
    deviation: float | None
    pairs: int
    interval: tuple[float, float] | None = None
    bootstrap: tuple[float, float] | None = None
    p: float | None = None

    @property
    def decided(self) -> bool:
        return self.p is not None and self.p < 1 - LEVEL


def paired(differences: Sequence[float], *, resampled: bool = True) -> Paired:
    """Mean, spread, intervals and test of one or more differences; equal numbers give results equal to the last bit.

    resampled: whether to compute the bootstrap interval, which takes most of the time.
    """
    values = sorted(differences)  # so that the order of the seeds does not change the last bits
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Paired(mean, None, n)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    if deviation <= 1e-12 * max(abs(v) for v in values) or deviation == 0:
        return Paired(mean, 0.0, n)
    from scipy import special

    error = deviation / math.sqrt(n)
    half = float(special.stdtrit(n - 1, (1 + LEVEL) / 2)) * error
    p = float(2 * special.stdtr(n - 1, -abs(mean) / error))
    return Paired(mean, deviation, n, (mean - half, mean + half), _bootstrap(values) if resampled else None, p)


def _bootstrap(values: Sequence[float]) -> tuple[float, float]:
    import numpy as np

    means = np.asarray(values)[_draws(len(values))].mean(axis=0)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@functools.lru_cache(4)
def _draws(n: int) -> npt.NDArray[np.int64]:
    """The indices of n values that each resample takes, a column each: the same for every point of a sweep."""
    import numpy as np

    return np.ascontiguousarray(np.random.default_rng(0).integers(0, n, (_RESAMPLES, n)).T)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """The p of each of several tests, corrected for their number by Holm's step-down method (Holm, 1979): rejecting
    where the result is below 5 % gives a false rejection in at most 5 % of families.

    A test without a p counts in the number of tests.
    """
    corrected: list[float | None] = [None] * len(ps)
    below = 0.0
    for rank, (p, place) in enumerate(sorted((p, place) for place, p in enumerate(ps) if p is not None)):
        below = max(below, min(1.0, (len(ps) - rank) * p))
        corrected[place] = below
    return corrected


def pairs_needed(mean: float, deviation: float, tests: int = 1) -> int | None:
    """The smallest number of pairs with which a two-sided paired t-test detects a true difference of `mean`, with
    POWER, at 1 - LEVEL divided by the number of tests.

    deviation: standard deviation of the pairs' differences. None when MOST pairs are too few.
    """
    effect, numbers = abs(mean) / deviation, range(2, MOST + 1)
    place = bisect.bisect_left(numbers, True, key=lambda n: _power(effect, n, tests) >= POWER)  # more pairs, more power
    return numbers[place] if place < len(numbers) else None


def _power(effect: float, n: int, tests: int) -> float:
    """The power of the test at (1 - LEVEL) / tests, for an effect in standard deviations, by the noncentral t
    distribution."""
    from scipy import special

    critical, shift = special.stdtrit(n - 1, 1 - (1 - LEVEL) / (2 * tests)), effect * math.sqrt(n)
    below = special.nctdtr(n - 1, shift, critical)
    # For a large effect the distribution function underflows to NaN: nearly all of the mass is above the threshold.
    return 1.0 if math.isnan(below) else float(1 - below)
