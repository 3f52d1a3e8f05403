"""Ray Tune around a study: it places the trials, keeps their processes warm, and starts a dead one again.

The study and the ledger are the state of a sweep; Tune's own is thrown away. Knows trials, their figures along the way
and their end; what a trial does, and what is recorded of it, is the host's business.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray.tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweeps.study import Study, TrialSpec

# The key of a trial's last report: as JSON, since Tune flattens mappings, what it came to, or {"failure": why}.
OUTCOME = "outcome"
SCORE = "score"  # the key of a figure along the way, which pruning looks at; beside it "epoch"

_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",
    "TUNE_MAX_PENDING_TRIALS_PG": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "100000",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Begun:
    """What the host makes of a trial. `payload`: what the trainable gets; None where nothing is to be trained: then the
    run is known already (`outcome`), or another process is training it just now (neither)."""

    run: str
    payload: dict[str, Any] | None = None
    outcome: dict[str, Any] | None = None


class Host(Protocol):
    """Who names, prepares and records the runs. `stopping`: no further trial is to be begun."""

    stopping: bool

    def begin(self, asked: TrialSpec) -> Begun:
        """Name the run of a trial and take hold of its folder."""

    def end(self, run: str, outcome: Mapping[str, Any]) -> dict[str, float | None]:
        """Record what a run came to; the figures that the study is told, empty for one that failed."""

    def give_up(self, run: str) -> None:
        """Ask a run to end by itself; whatever it then comes to, it is recorded as pruned."""

    def pruned(self, run: str) -> None:
        """Record that the search gave a run up."""

    def restarted(self, run: str, reason: str) -> None:
        """Say that a run's process has died and is replaced."""


def run(
    study: Study,
    host: Host,
    trainable: Callable[[dict[str, Any]], None],
    resources: Mapping[str, float],
    *,
    concurrent: int,
    reuse: bool,
    max_failures: int,
) -> None:
    """Run a study to its end, at most `concurrent` trials side by side. Ray must be connected.

    `trainable` gets the payload in a process that holds `resources`, and reports with ray.tune.report, last an OUTCOME.
    With `reuse` one process runs many trials, one after the other, and Tune ends one that is pruned. Without, the host
    asks it to end: Tune would kill its process before what it has started could end in order. A process that dies is
    replaced `max_failures` times.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    tune_controller.RayActorManager = _Actors
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the host says what has failed
    trials = _Trials(study, host, asked_to_end=not reuse)
    with tempfile.TemporaryDirectory(prefix="sanpose-tune-", ignore_cleanup_errors=True) as folder:
        ray.tune.Tuner(
            ray.tune.with_resources(trainable, dict(resources)),
            tune_config=ray.tune.TuneConfig(
                search_alg=_Search(trials),
                scheduler=_Pruning(trials),
                num_samples=-1,
                max_concurrent_trials=concurrent,
                reuse_actors=reuse,
            ),
            run_config=ray.tune.RunConfig(
                name="sweep",
                storage_path=folder,
                verbose=0,
                callbacks=[_Record(trials)],
                failure_config=ray.tune.FailureConfig(max_failures=max_failures),
            ),
        ).fit()
    trials.close_all("Ray Tune has lost this trial")


class _Trials:
    """The trials that Tune runs, by its own names for them."""

    def __init__(self, study: Study, host: Host, asked_to_end: bool = False):
        self.study, self.host, self.asked_to_end = study, host, asked_to_end
        self.running: dict[str, tuple[TrialSpec, str]] = {}
        self.ended: set[str] = set()
        self.given_up: set[str] = set()
        self._busy: deque[TrialSpec] = deque()

    def __getstate__(self) -> dict[str, Any]:
        """Tune saves what it is given; the state of a sweep is elsewhere."""
        return {}

    def next(self, name: str) -> dict[str, Any] | str | None:
        """The payload of the next trial that needs training; Searcher.FINISHED; or None: ask again later."""
        if self.host.stopping:
            return str(Searcher.FINISHED)
        asked = self.study.next()
        while asked:
            payload = self._begin(name, asked)
            if payload is not None:
                return payload
            asked = self.study.next()
        for _ in range(len(self._busy)):
            payload = self._begin(name, self._busy.popleft())
            if payload is not None:
                return payload
        if self._busy:
            if not self.running:
                time.sleep(_WAIT_SECONDS)
            return None
        return str(Searcher.FINISHED)

    def _begin(self, name: str, asked: TrialSpec) -> dict[str, Any] | None:
        begun = self.host.begin(asked)
        if begun.payload is not None:
            self.running[name] = asked, begun.run
        elif begun.outcome is not None:
            self._tell(asked, begun.run, begun.outcome, begun.outcome.get("figures") or {})
        else:
            self._busy.append(asked)
        return begun.payload

    def report(self, name: str, result: Mapping[str, Any]) -> bool:
        """Take in a report; True when Tune is to end the trial."""
        asked, run = self.running[name]
        if name in self.ended:
            return False
        if OUTCOME in result:
            self._end(name, json.loads(result[OUTCOME]))
            return False
        if name in self.given_up or result.get(SCORE) is None:
            return False
        if not self.study.report(asked.number, int(result["epoch"]), float(result[SCORE])):
            return False
        self.given_up.add(name)
        if self.asked_to_end:
            self.host.give_up(run)
        return not self.asked_to_end

    def _end(self, name: str, outcome: Mapping[str, Any]) -> None:
        self.ended.add(name)
        asked, run = self.running[name]
        if name in self.given_up:
            self.host.pruned(run)
            self.study.prune(asked.number, run)
        else:
            self._tell(asked, run, outcome, self.host.end(run, outcome))

    def _tell(
        self, asked: TrialSpec, run: str, outcome: Mapping[str, Any], figures: Mapping[str, float | None]
    ) -> None:
        if "stopped" in outcome:  # the trial stays open in the study, for the next start
            return
        if outcome.get("pruned"):
            self.study.prune(asked.number, run)
        elif "failure" in outcome:
            self.study.fail(asked.number, run, str(outcome["failure"]))
        else:
            self.study.tell(asked.number, run, figures)

    def close(self, name: str, error: str | None) -> None:
        """A trial's process has ended it: by its own outcome, pruned, or dead too often."""
        if name not in self.ended:
            self._end(name, {"failure": error or "its process ended without an outcome"})
        del self.running[name]

    def restarted(self, name: str, error: str) -> None:
        if name in self.running and name not in self.ended:
            self.host.restarted(self.running[name][1], error)

    def close_all(self, error: str) -> None:
        for name in list(self.running):
            self.close(name, error)


class _Search(Searcher):  # type: ignore[misc]
    def __init__(self, trials: _Trials):
        super().__init__()
        self._trials = trials

    def suggest(self, trial_id: str) -> Any:
        return self._trials.next(trial_id)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The callback has the trial's error too; it does this."""

    def save(self, checkpoint_path: str) -> None:
        """The study is on disk already."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a sweep is continued from its study, not from Tune's state")


class _Pruning(FIFOScheduler):  # type: ignore[misc]
    def __init__(self, trials: _Trials):
        super().__init__()
        self._trials = trials

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        given_up = self._trials.report(trial.trial_id, result)
        return str(TrialScheduler.STOP if given_up else TrialScheduler.CONTINUE)


class _Record(ray.tune.Callback):  # type: ignore[misc]
    def __init__(self, trials: _Trials):
        self._trials = trials

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._trials.close(trial.trial_id, None)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._trials.restarted(trial.trial_id, _reason(trial))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._trials.close(trial.trial_id, _reason(trial))


def _reason(trial: Any) -> str:
    """What Tune has noted last of a trial's failures, in one line. Its own look at it would be into its storage."""
    try:
        lines = [line.strip() for line in Path(trial.error_file).read_text().splitlines() if line.strip()]
    except (OSError, TypeError):
        lines = []
    return lines[-1] if lines else "its process died"


class _Actors(RayActorManager):  # type: ignore[misc]
    """Tune's processes. Tune itself ends the whole sweep over one that Ray kills where memory runs low: of that error
    it knows nothing. Here it is a process that has died."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(tracked_actor_task, _as_death(exception))

    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        super()._actor_start_failed(tracked_actor, _as_death(exception))


def _as_death(error: Exception) -> Exception:
    if not isinstance(error, OutOfMemoryError):
        return error
    found = re.search(r"[\d.]+ ?[KMG]?B used / [\d.]+ ?[KMG]?B", str(error))
    died: Exception = RayActorError(
        error_msg=f"Ray killed its process, as memory ran low ({found[0] if found else '?'})"
    )
    return died
