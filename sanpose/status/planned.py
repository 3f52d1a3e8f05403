"""What a sweep has still to begin: of a grid every point and seed, of a search how many."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from sanpose.status.states import RunState, TrialState
from sweeps import record
from sweeps.definition import label


def latest(head: Mapping[str, Any], trials: Iterable[record.TrialRecord]) -> list[record.TrialRecord]:
    """The trials that count: all but those that another one was begun in the place of. Two may stand for one run: two
    points that mean the same, or one that a search has drawn twice. A grid has every point and seed once."""
    every = list(trials)
    again = {trial.repeats for trial in every}
    counted = [trial for trial in every if trial.number not in again]
    if head.get("search") is not None:
        return counted
    return sorted({_key(t.values, t.seed): t for t in counted}.values(), key=lambda trial: trial.number)


def to_begin(head: Mapping[str, Any], begun: Iterable[record.TrialRecord]) -> tuple[TrialState, ...]:
    """The points and seeds of a grid for which there is no trial yet; none for a search, whose points are not drawn."""
    axes, seeds = head.get("axes"), head.get("seeds")
    if head.get("search") is not None or not isinstance(axes, list) or not isinstance(seeds, int):
        return ()
    if not all(isinstance(axis, dict) and isinstance(axis.get("values"), list) for axis in axes):
        return ()
    there = {_key(trial.values, trial.seed) for trial in begun}
    names = [str(axis.get("name")) for axis in axes]
    points = [dict(zip(names, p, strict=True)) for p in itertools.product(*(axis["values"] for axis in axes))]
    return tuple(
        TrialState(None, label(point), point, seed, RunState("", "waiting", seed=seed))
        for seed, point in itertools.product(range(seeds), points)
        if _key(point, seed) not in there
    )


def to_draw(head: Mapping[str, Any], begun: int) -> int:
    """How many trials of a search have no point yet: of the `planned` ones, 0 where the record doesn't say."""
    planned = head.get("planned")
    if head.get("search") is None or not isinstance(planned, int) or planned > record.MOST_TRIALS:
        return 0
    return max(0, planned - begun)


def _key(values: Mapping[str, Any], seed: int) -> str:
    return json.dumps([values, seed], sort_keys=True, default=str)
