"""The order of the samples: proportions, no accidental repeats, dependence on (seed, epoch, index) alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanpose.data.mix import Mix
from sanpose.errors import UserError

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=4)


@given(SIZES, st.integers(1, 100), st.integers(0, 5), st.integers(0, 3), st.data())
def test_an_epoch_has_the_asked_proportions(
    sizes: list[int], length: int, epoch: int, seed: int, data: st.DataObject
) -> None:
    shares = data.draw(st.lists(st.floats(0.1, 3), min_size=len(sizes), max_size=len(sizes)))
    mix = Mix(tuple(sizes), tuple(shares), seed, length)
    sources, samples = mix.epoch(epoch)
    assert len(sources) == length == sum(mix.counts)
    for source, (size, count) in enumerate(zip(sizes, mix.counts, strict=True)):
        mine = samples[sources == source]
        assert len(mine) == count and abs(count - length * shares[source] / sum(shares)) < 1
        assert ((mine >= 0) & (mine < size)).all()
        times = np.bincount(mine, minlength=size)
        assert times.max() - times.min() <= 2


def test_a_source_is_seen_whole_before_it_repeats() -> None:
    mix = Mix((10, 100), (1, 1), 0, 14)
    seen = np.concatenate([s[o == 1] for o, s in (mix.epoch(e) for e in range(14))])
    assert sorted(seen[:98]) == sorted(set(seen[:98]))
    assert len(set(seen[:100].tolist()) | set(seen[98:].tolist())) >= 98


def test_no_two_epochs_are_the_same() -> None:
    mix = Mix((50,), (1,), 0)
    orders = [tuple(mix.epoch(e)[1]) for e in range(5)]
    assert len(set(orders)) == 5
    assert all(sorted(o) == list(range(50)) for o in orders)
    assert tuple(Mix((50,), (1,), 1).epoch(0)[1]) != orders[0]


def test_the_default_epoch_is_the_longest_without_repeats() -> None:
    assert Mix((1000, 30), (1, 1), 0).length == 60
    assert Mix((1000, 30, 90), (1, 1, 1), 0).length == 90
    assert Mix((1000, 30), (1, 0), 0).length == 1000


def test_an_empty_source_is_refused() -> None:
    with pytest.raises(UserError, match="no samples"):
        Mix((5, 0), (1, 1), 0)
