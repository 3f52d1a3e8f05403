"""A paired t-test after every new pair, valid under all its looks together.

A group-sequential t-test with exact probabilities (Jennison and Turnbull, Exact calculations for sequential t,
chi-squared and F tests, Biometrika 78, 1991). The test has a look at 3, 4, ..., `most` pairs. The nominal level of a
look grows in proportion to its number of pairs, so that early looks spend little. Without an effect, the chance that
any look rejects is the level. Plain numbers in and out; does not know runs.

The probabilities come from a recursion over the looks. Let x be n differences and r = sum(x) / norm(x), which orders
samples as t does. Without an effect, u = x_new * sqrt(n) / norm(x) has Student's t distribution with n degrees of
freedom, whatever the direction of x. So r_new = (r + u / sqrt(n)) / sqrt(1 + u^2 / n) depends on the past through r
alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sanpose.statistics import FIRST_LOOK, MOST_LOOKS

if TYPE_CHECKING:
    from types import ModuleType

_PATHS = 2000  # of the simulated continuations
_SMALL = 0.02
# The cells of nominal p, in which the recursion counts probability: fine where a boundary can be.
_EDGES = np.concatenate([[0.0], np.geomspace(1e-8, _SMALL, 140), np.linspace(_SMALL, 1.0, 180)[1:]])
_WIDTHS = np.diff(_EDGES)
Reals = npt.NDArray[np.float64]


def repeated_p(differences: Sequence[float], most: int) -> float | None:
    """The smallest level at which the test has rejected by now, with the looks so far and at most `most` pairs: a
    repeated p-value. It never rises when pairs are added.

    differences: in the order of the pairs. None for fewer than FIRST_LOOK pairs, and where all differences are equal.
    """
    looks = range(FIRST_LOOK, min(len(differences), most) + 1)
    nominal = [(n, _nominal(differences[:n])) for n in looks]
    scales = [p * most / n for n, p in nominal if p is not None]
    return crossing(min(scales), most) if scales else None


def scale_at(level: float, most: int) -> float:
    """The nominal level of the last look with which the whole test has a level; the look at n pairs has n / most of
    that. The inverse of `crossing`."""
    scales, levels = _table(most)
    return float(np.exp(np.interp(math.log(level), levels, scales)))


def crossing(scale: float, most: int) -> float:
    """The chance, without an effect, that some look at n pairs has a nominal p below scale * n / most."""
    scales, levels = _table(most)
    return float(np.exp(np.interp(math.log(max(scale, 1e-12)), scales, levels)))


@functools.lru_cache(16)
def _table(most: int) -> tuple[Reals, Reals]:
    """Logarithms of scales, and of the chances to cross them: straight lines between them err by less than 0.1 %."""
    scales = np.geomspace(1e-7, most / FIRST_LOOK, 160)
    return np.log(scales), np.log([_crossing(float(scale), most) for scale in scales])


def _crossing(scale: float, most: int) -> float:
    mass, crossed = _WIDTHS, 0.0  # without an effect, a nominal p is uniform
    for n in range(FIRST_LOOK, most + 1):
        if n > FIRST_LOOK:
            mass = mass @ _step(n - 1)
        uncrossed = np.clip((_EDGES[1:] - scale * n / most) / _WIDTHS, 0.0, 1.0)
        crossed += float((mass * (1.0 - uncrossed)).sum())
        mass = mass * uncrossed
    return min(1.0, crossed)


def chances(differences: Sequence[float], effect: float, level: float, most: int) -> Reals:
    """The chance that the test rejects by len(differences) + 1, + 2, ..., most pairs, simulated with a fixed seed.

    effect: true mean of the coming differences, in standard deviations of `differences`, which has two or more.
    """
    n, more = len(differences), most - len(differences)
    if more <= 0:
        return np.empty(0)
    past = np.asarray(differences) / np.std(differences, ddof=1)
    future = np.random.default_rng(0).standard_normal((_PATHS, more)) + effect
    counts = np.arange(n + 1, most + 1)
    sums = past.sum() + future.cumsum(axis=1)
    squares = (past**2).sum() + (future**2).cumsum(axis=1)
    variances = (squares - sums**2 / counts) / (counts - 1)
    t = sums / np.sqrt(variances * counts)
    nominal: Reals = 2 * _special().stdtr(counts - 1, -np.abs(t))
    rejected = (nominal < scale_at(level, most) * counts / most) & (counts >= FIRST_LOOK)
    decided: Reals = np.logical_or.accumulate(rejected, axis=1).mean(axis=0)
    return decided


def _nominal(differences: Sequence[float]) -> float | None:
    """The p of the usual two-sided paired t-test."""
    from sanpose.statistics.paired import paired

    return paired(differences, resampled=False).p


@functools.lru_cache(MOST_LOOKS)
def _step(n: int) -> Reals:
    """(i, j): the chance that p is in cell j with n + 1 pairs, when p was in the middle of cell i with n pairs."""
    before = _ratio((_EDGES[1:] + _EDGES[:-1]) / 2, n)[:, None]
    after = _ratio(_EDGES, n + 1)[None, :]
    below_edge = 1.0 - _below(after, before, n)  # a large ratio is a small p
    below_edge[:, 0], below_edge[:, -1] = 0.0, 1.0
    return np.diff(below_edge, axis=1)


def _ratio(p: Reals, n: int) -> Reals:
    """|r| at a nominal p with n pairs."""
    t = -_special().stdtrit(n - 1, np.maximum(p, 1e-30) / 2)
    ratio: Reals = math.sqrt(n) * t / np.sqrt(n - 1 + t**2)
    limited: Reals = np.where(p <= 0.0, math.sqrt(n), ratio)
    return limited


def _below(y: Reals, x: Reals, n: int) -> Reals:
    """The chance that |r| <= y with n + 1 pairs, when |r| was x with n pairs: from the roots v = u / sqrt(n) of
    (x + v)^2 = y^2 (1 + v^2)."""
    y = np.where(np.abs(y - 1.0) < 1e-9, 1.0 + 1e-9, y)
    under = x**2 + 1.0 - y**2
    root = np.sqrt(np.maximum(under, 0.0))
    low, high = ((-x + sign * y * root) / (1.0 - y**2) for sign in (-1.0, 1.0))
    first, second = (_special().stdtr(n, v * math.sqrt(n)) for v in (low, high))
    inner, outer = second - first, 1.0 - (first - second)
    chance: Reals = np.where(y < 1.0, inner, np.where(under <= 0.0, 1.0, outer))
    return chance


def _special() -> ModuleType:
    from scipy import special

    module: ModuleType = special
    return module
