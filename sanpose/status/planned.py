"""The trials that a sweep has still to start: every missing point and seed of a grid, the number for a search."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping

from sanpose.status.states import RunState, TrialState
from sweeps import record
from sweeps.definition import label


def is_search(head: Mapping[str, object]) -> bool:
    """Whether a sweep's head is of a search, which draws its points, and not of a grid."""
    return head.get("search") is not None


def latest(head: Mapping[str, object], trials: Iterable[record.TrialRecord]) -> list[record.TrialRecord]:
    """The trials that count: those that no other trial repeats. Two may share one run: two points that mean the same,
    or a point that a search drew twice. A grid has every point and seed once."""
    every = list(trials)
    repeated = {trial.repeats for trial in every}
    counted = [trial for trial in every if trial.number not in repeated]
    if is_search(head):
        return counted
    return sorted({_key(t.values, t.seed): t for t in counted}.values(), key=lambda trial: trial.number)


def to_begin(head: Mapping[str, object], started: Iterable[record.TrialRecord]) -> tuple[TrialState, ...]:
    """The points and seeds of a grid that have no trial yet; empty for a search, whose points are not drawn yet."""
    axes, seeds, first = head.get("axes"), head.get("seeds"), head.get("first_seed", 0)
    if is_search(head) or not isinstance(axes, list) or not isinstance(seeds, int) or not isinstance(first, int):
        return ()
    if not all(isinstance(axis, dict) and isinstance(axis.get("values"), list) for axis in axes):
        return ()
    present = {_key(trial.values, trial.seed) for trial in started}
    names = [str(axis.get("name")) for axis in axes]
    points = [dict(zip(names, p, strict=True)) for p in itertools.product(*(axis["values"] for axis in axes))]
    return tuple(
        TrialState(None, label(point), point, seed, RunState("", "waiting", seed=seed))
        for seed, point in itertools.product(range(first, first + seeds), points)
        if _key(point, seed) not in present
    )


def to_draw(head: Mapping[str, object], started: int) -> int:
    """How many of a search's `planned` trials have no point yet, 0 where the record does not say."""
    planned = head.get("planned")
    if not is_search(head) or not isinstance(planned, int) or planned > record.MOST_TRIALS:
        return 0
    return max(0, planned - started)


def _key(values: Mapping[str, object], seed: int) -> str:
    return json.dumps([values, seed], sort_keys=True, default=str)
