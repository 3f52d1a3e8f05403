"""When a sweep will end: an estimate from the measured times of its finished trials."""

from __future__ import annotations

import statistics
from collections.abc import Collection

from sanpose.status.states import RunState, since_1970

_IN_PROGRESS = ("running", "unverified")
_TO_DO = ("waiting", "stopped", "interrupted")


def ends_at(runs: Collection[RunState], to_draw: int = 0) -> float | None:
    """Seconds since 1970 at which the last of a sweep's runs will end, if as many run side by side as do now. to_draw:
    how many more runs a search will draw.

    A waiting run is assumed to take the mean time of the finished runs; without finished runs, the mean of the running
    runs' own estimates. None when nothing runs, or no time is known.
    """
    running = [run for run in runs if run.state in _IN_PROGRESS]
    one_run = _seconds_of_one(runs)
    ends = [end for end in (_end(run, one_run) for run in running) if end is not None]
    if not running or len(ends) < len(running):
        return None
    to_do = to_draw + sum(1.0 - (run.progress or 0.0) for run in runs if run.state in _TO_DO)
    if to_do and one_run is None:
        return None
    return max(*ends, (sum(ends) + to_do * (one_run or 0.0)) / len(running), 0.0)


def _seconds_of_one(runs: Collection[RunState]) -> float | None:
    """Seconds that one run takes."""
    done = [run.wall_s for run in runs if run.state == "done" and run.wall_s is not None]
    if done:
        return statistics.fmean(done)
    spans = [(since_1970(run.started), run.ends_at) for run in runs if run.state in _IN_PROGRESS]
    seconds = [end - start for start, end in spans if start is not None and end is not None]
    return statistics.fmean(seconds) if seconds else None


def _end(run: RunState, one_run: float | None) -> float | None:
    """When a running run will end: by its worker's estimate, else by the time of one run."""
    start = since_1970(run.started)
    if run.ends_at is not None or start is None or one_run is None:
        return run.ends_at
    return start + one_run
