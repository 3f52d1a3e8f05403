"""What a handful of paired differences allows one to say: interval, test, and how many more would be needed.

Plain numbers in and out; knows nothing of runs.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LEVEL = 0.95  # of the intervals; a test decides at 1 - LEVEL
POWER = 0.8
MOST = 1000  # pairs beyond which no number is suggested
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Paired:
    """Differences of pairs, in their own unit. `interval`: Student's t; `bootstrap`: percentile, if asked for; `p`: of
    the two-sided paired t-test. All three None for fewer than two pairs, and where the pairs do not differ
    among themselves."""

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
    """Mean, spread, intervals and test of at least one difference; the same to the bit for the same numbers.

    resampled: whether with the bootstrap's interval, which takes most of the time.
    """
    values = sorted(differences)  # so that the order of the seeds changes no bit
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
def _draws(n: int) -> Any:
    """Which of n values each resample takes, a column each: the same for every point of a sweep."""
    import numpy as np

    return np.ascontiguousarray(np.random.default_rng(0).integers(0, n, (_RESAMPLES, n)).T)


def pairs_needed(mean: float, deviation: float) -> int | None:
    """The least number of pairs with which a two-sided paired t-test finds a true difference of `mean`, with POWER.

    deviation: of the pairs' differences. None when MOST pairs are too few.
    """
    effect, numbers = abs(mean) / deviation, range(2, MOST + 1)
    place = bisect.bisect_left(numbers, True, key=lambda n: _power(effect, n) >= POWER)  # more pairs, more power
    return numbers[place] if place < len(numbers) else None


def _power(effect: float, n: int) -> float:
    """Of the test at 1 - LEVEL, for an effect in standard deviations; by the noncentral t distribution."""
    from scipy import special

    critical, shift = special.stdtrit(n - 1, (1 + LEVEL) / 2), effect * math.sqrt(n)
    below = special.nctdtr(n - 1, shift, critical)
    # For a large effect the distribution function underflows to NaN; nearly everything lies above the threshold then.
    return 1.0 if math.isnan(below) else float(1 - below)
