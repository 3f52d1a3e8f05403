"""Which point gets which seed next: both cells of every open claim, one seed after the other.

A function of the results alone, so that a sweep that was killed goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sanpose.claims.claim import key_of
from sanpose.claims.progress import Progress, Results, remaining_seeds
from sweeps.definition import Values


def wanted(
    state: Sequence[Progress], results: Results, started: Collection[tuple[str, int]], seeds: Sequence[int]
) -> list[tuple[Values, int]]:
    """The points and seeds to train now, without those in `started`: (`key_of` a point, seed) of every trial.

    An open claim asks for the first seed that has not finished in both of its points. seeds: all that may be used, in
    order.
    """
    requested: dict[tuple[str, int], tuple[Values, int]] = {}
    for one in state:
        seed = next(iter(remaining_seeds(one.claim, results, seeds)), None)
        if one.settled or seed is None:
            continue
        requested |= {(key_of(point), seed): (point, seed) for point in one.claim.points}
    new = [entry for place, entry in requested.items() if place not in started]
    return sorted(new, key=lambda entry: entry[1])
