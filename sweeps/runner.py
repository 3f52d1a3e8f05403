"""Ray Tune around a study: Tune places the trials, keeps their processes warm, and restarts a dead process.

The study and the ledger hold the state of a sweep; Tune's own state is thrown away. Knows trials, their scores and
their outcomes. Does not know what a trial computes, or what is recorded of it: the host does.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypedDict, assert_never

import ray.tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweeps import ray_tune_patch
from sweeps.outcomes import Done, Failed, Figures, Outcome, Pruned, Stopped, from_json
from sweeps.study import Study, TrialSpec

OUTCOME: Final = "outcome"  # the key of a trial's last report: `outcomes.to_json`, because Tune flattens mappings
SCORE: Final = "score"  # the key of an intermediate score, which the pruner compares

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

Payload = Mapping[str, object]
"""The input of the trainable: plain data that the host makes."""


class TrialReport(TypedDict, total=False):
    """A report of the trainable: an epoch with its score (lower is better; None without evaluation), or an outcome."""

    epoch: int
    score: float | None
    outcome: str


class _TuneTrial(Protocol):
    """A trial as Ray Tune sees it."""

    trial_id: str
    error_file: str | None


@dataclass(frozen=True)
class ToTrain:
    """The trial's run needs training."""

    run: str
    payload: Payload


@dataclass(frozen=True)
class Recorded:
    """The trial's outcome is known without training. run: "" where the run cannot even be named."""

    run: str
    outcome: Done[Figures] | Failed | Pruned


@dataclass(frozen=True)
class InUse:
    """Another process trains the trial's run now."""

    run: str


Start = ToTrain | Recorded | InUse


class Host(Protocol):
    """Names, prepares and records the runs. `stopping`: start no further trial."""

    stopping: bool

    def begin(self, trial: TrialSpec) -> Start:
        """Name the run of a trial, and hold its folder if the run needs training."""

    def end(self, run: str, outcome: Outcome[object]) -> Outcome[Figures]:
        """Record the outcome of a run; returns the outcome for the study."""

    def give_up(self, run: str) -> None:
        """Ask the process of a pruned trial to stop."""

    def pruned(self, run: str) -> None:
        """Record that the search has pruned a run."""

    def restarted(self, run: str, reason: str) -> None:
        """Say that Tune replaces a run's dead process."""


def run(
    study: Study,
    host: Host,
    trainable: Callable[[Any], None],
    resources: Mapping[str, float],
    *,
    concurrent: int,
    reuse: bool,
    max_failures: int,
) -> None:
    """Run a study to its end, at most `concurrent` trials side by side. Ray must be connected.

    `trainable` gets the payload in a process that holds `resources`. It reports with ray.tune.report; its last report
    holds an OUTCOME. With `reuse`, one process runs many trials one after the other, and Tune stops a pruned trial.
    Without, the host asks a pruned trial to stop: Tune would kill its process before that process can stop its own
    workers. Tune replaces a dead process `max_failures` times.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    ray_tune_patch.survive_out_of_memory()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the host reports failures
    trials = Trials(study, host, host_stops_pruned=not reuse)
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
                callbacks=[_Callback(trials)],
                failure_config=ray.tune.FailureConfig(max_failures=max_failures),
            ),
        ).fit()
    trials.close_all("Ray Tune has lost this trial")


class Trials:
    """The trials that Tune runs, by Tune's names for them: what to run next, and what each report means."""

    def __init__(self, study: Study, host: Host, host_stops_pruned: bool = False):
        self._study, self._host, self._host_stops_pruned = study, host, host_stops_pruned
        self._running: dict[str, tuple[TrialSpec, str]] = {}
        self._finished: set[str] = set()
        self._pruned: set[str] = set()
        self._in_use: deque[TrialSpec] = deque()

    def __getstate__(self) -> dict[str, object]:
        """Tune pickles its search algorithm; the state of a sweep is elsewhere."""
        return {}

    def next(self, name: str) -> dict[str, object] | str | None:
        """The payload of the next trial that needs training; Searcher.FINISHED; None to let Tune call again later."""
        if self._host.stopping:
            return str(Searcher.FINISHED)
        while trial := self._study.next():
            if payload := self._begin(name, trial):
                return payload
        for _ in range(len(self._in_use)):
            if payload := self._begin(name, self._in_use.popleft()):
                return payload
        if self._in_use:
            if not self._running:
                time.sleep(_WAIT_SECONDS)
            return None
        if self._study.grows and self._running:
            return None  # an outcome may add trials
        return str(Searcher.FINISHED)

    def _begin(self, name: str, trial: TrialSpec) -> dict[str, object] | None:
        match self._host.begin(trial):
            case ToTrain(run, payload):
                self._running[name] = trial, run
                return dict(payload)
            case Recorded(run, outcome):
                self._tell_study(trial, run, outcome)
            case InUse():
                self._in_use.append(trial)
        return None

    def report(self, name: str, result: TrialReport) -> bool:
        """Process a report; True when Tune must stop the trial."""
        trial, run = self._running[name]
        if name in self._finished:
            return False
        if OUTCOME in result:
            self._finish(name, from_json(result[OUTCOME]))
            return False
        score = result.get(SCORE)
        if name in self._pruned or score is None:
            return False
        if not self._study.report(trial.number, result["epoch"], float(score)):
            return False
        self._pruned.add(name)
        if self._host_stops_pruned:
            self._host.give_up(run)
        return not self._host_stops_pruned

    def _finish(self, name: str, outcome: Outcome[object]) -> None:
        self._finished.add(name)
        trial, run = self._running[name]
        if name in self._pruned:
            self._host.pruned(run)
            self._study.prune(trial.number, run)
        else:
            self._tell_study(trial, run, self._host.end(run, outcome))

    def _tell_study(self, trial: TrialSpec, run: str, outcome: Outcome[Figures]) -> None:
        match outcome:
            case Done(figures):
                self._study.tell(trial.number, run, figures)
            case Failed(reason):
                self._study.fail(trial.number, run, reason)
            case Pruned():
                self._study.prune(trial.number, run)
            case Stopped():  # the trial stays open in the study, for the next start
                pass
            case _:
                assert_never(outcome)

    def close(self, name: str, error: str | None) -> None:
        """The process of a trial has finished: with an outcome, pruned, or dead too often."""
        if name not in self._finished:
            self._finish(name, Failed(error or "its process ended without an outcome"))
        del self._running[name]

    def restarted(self, name: str, error: str) -> None:
        """Tune replaces the dead process of a trial."""
        if name in self._running and name not in self._finished:
            self._host.restarted(self._running[name][1], error)

    def close_all(self, error: str) -> None:
        for name in list(self._running):
            self.close(name, error)


class _Search(Searcher):  # type: ignore[misc]
    def __init__(self, trials: Trials):
        super().__init__()
        self._trials = trials

    def suggest(self, trial_id: str) -> dict[str, object] | str | None:
        return self._trials.next(trial_id)

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        """Nothing to do: the callback gets the trial's error too."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to do: the study is on disk already."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a sweep resumes from its study, not from Tune's state")


class _Pruning(FIFOScheduler):  # type: ignore[misc]
    def __init__(self, trials: Trials):
        super().__init__()
        self._trials = trials

    def on_trial_result(self, tune_controller: object, trial: _TuneTrial, result: TrialReport) -> str:
        stop = self._trials.report(trial.trial_id, result)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)


class _Callback(ray.tune.Callback):  # type: ignore[misc]
    def __init__(self, trials: Trials):
        self._trials = trials

    def on_trial_complete(self, iteration: int, trials: object, trial: _TuneTrial, **info: object) -> None:
        self._trials.close(trial.trial_id, None)

    def on_trial_recover(self, iteration: int, trials: object, trial: _TuneTrial, **info: object) -> None:
        self._trials.restarted(trial.trial_id, _reason(trial))

    def on_trial_error(self, iteration: int, trials: object, trial: _TuneTrial, **info: object) -> None:
        self._trials.close(trial.trial_id, _reason(trial))


def _reason(trial: _TuneTrial) -> str:
    """The last line of Tune's error file of a trial. Tune's own method would search its storage."""
    lines = []
    with suppress(OSError):
        if trial.error_file:
            lines = [line.strip() for line in Path(trial.error_file).read_text().splitlines() if line.strip()]
    return lines[-1] if lines else "its process died"
