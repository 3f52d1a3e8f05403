"""The group-sequential t-test: its level, its inverse, and its power, against plain simulation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from sanpose.statistics import FIRST_LOOK
from sanpose.statistics.sequential import chances, crossing, repeated_p, scale_at

Reals = npt.NDArray[np.float64]


def nominal(samples: Reals) -> Reals:
    """(paths, looks): the p of scipy's t-test at 3, 4, ... values of each path."""
    looks = range(FIRST_LOOK, samples.shape[1] + 1)
    return np.stack([stats.ttest_1samp(samples[:, :n], 0.0, axis=1).pvalue for n in looks], axis=1)


def shares(most: int) -> Reals:
    return np.arange(FIRST_LOOK, most + 1) / most


@pytest.mark.parametrize("most", [3, 5, 12])
@pytest.mark.parametrize("level", [0.05, 0.05 / 6])
def test_the_chance_of_any_false_rejection_is_the_level(most: int, level: float) -> None:
    ps = nominal(np.random.default_rng(most).standard_normal((100_000, most)))
    rejected = (ps <= scale_at(level, most) * shares(most)).any(axis=1).mean()
    assert rejected == pytest.approx(level, abs=4 * (level / 100_000) ** 0.5)


def test_an_ordinary_test_rejects_too_often_under_repeated_looks() -> None:
    ps = nominal(np.random.default_rng(0).standard_normal((20_000, 12)))
    assert (ps <= 0.05).any(axis=1).mean() > 0.12


@pytest.mark.parametrize("most", [3, 7, 12, 30])
def test_scale_and_chance_are_inverse(most: int) -> None:
    for level in (0.1, 0.05, 0.01, 0.001):
        assert crossing(scale_at(level, most), most) == pytest.approx(level, rel=1e-6)


def test_with_one_look_it_is_the_t_test() -> None:
    values = [-3.0, -2.1, -4.4]
    assert repeated_p(values, 3) == pytest.approx(float(stats.ttest_1samp(values, 0.0).pvalue), rel=2e-3)


def test_a_repeated_p_never_rises_and_counts_every_look() -> None:
    values = list(np.random.default_rng(3).standard_normal(12) - 1.0)
    ps = [repeated_p(values[:n], 12) for n in range(FIRST_LOOK, 13)]
    known = [p for p in ps if p is not None]
    assert len(known) == 10
    assert known == sorted(known, reverse=True)
    assert all(p > float(stats.ttest_1samp(values[:3], 0.0).pvalue) or n for n, p in enumerate(known))
    assert known[0] > float(stats.ttest_1samp(values[:3], 0.0).pvalue)


def test_without_three_differences_or_a_spread_there_is_no_p() -> None:
    assert repeated_p([], 12) is None
    assert repeated_p([-1.0, -2.0], 12) is None
    assert repeated_p([-1.0, -1.0, -1.0], 12) is None


def test_chances_agree_with_a_simulation() -> None:
    values, effect, level, most = [-1.3, -0.2, -2.0], -1.5, 0.01, 10
    past = np.asarray(values) / np.std(values, ddof=1)
    future = np.random.default_rng(9).standard_normal((20_000, most - 3)) + effect
    ps = nominal(np.hstack([np.tile(past, (20_000, 1)), future]))
    rejected = np.logical_or.accumulate((ps <= scale_at(level, most) * shares(most))[:, 1:], axis=1).mean(axis=0)
    assert chances(values, effect, level, most) == pytest.approx(rejected, abs=0.04)


def test_no_chance_without_a_further_pair() -> None:
    assert len(chances([-1.0, -2.0, -3.0], -2.0, 0.05, 3)) == 0
