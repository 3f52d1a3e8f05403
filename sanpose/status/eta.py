"""When a sweep will end: an estimate from the measured times of its finished trials."""

from __future__ import annotations

import statistics
from collections.abc import Collection

from sanpose.status.states import RunState, since_1970

_WORKED_ON = ("running", "unverified")
_TO_DO = ("waiting", "stopped", "interrupted")


def ends_at(runs: Collection[RunState], more: int = 0) -> float | None:
    """Seconds since 1970 at which the last of a sweep's runs, and `more` of which nothing is known yet, will end, if
    as many run side by side as do now.

    A run that waits takes as long as those done took in the mean; without any that are done, as the running ones will
    take by their own estimates. None when nothing runs, or no time is known.
    """
    working = [run for run in runs if run.state in _WORKED_ON]
    whole = _whole(runs)
    ends = [end for end in (_end(run, whole) for run in working) if end is not None]
    if not working or len(ends) < len(working):
        return None
    to_do = more + sum(1.0 - (run.progress or 0.0) for run in runs if run.state in _TO_DO)
    if to_do and whole is None:
        return None
    return max(*ends, (sum(ends) + to_do * (whole or 0.0)) / len(working), 0.0)


def _whole(runs: Collection[RunState]) -> float | None:
    """Seconds that one run takes."""
    done = [run.wall_s for run in runs if run.state == "done" and run.wall_s is not None]
    if done:
        return statistics.fmean(done)
    begun = [(since_1970(run.started), run.ends_at) for run in runs if run.state in _WORKED_ON]
    lasting = [end - start for start, end in begun if start is not None and end is not None]
    return statistics.fmean(lasting) if lasting else None


def _end(run: RunState, whole: float | None) -> float | None:
    """When a running run will end: by its worker's estimate, else by the others' time."""
    start = since_1970(run.started)
    if run.ends_at is not None or start is None or whole is None:
        return run.ends_at
    return start + whole
