"""One trial of a sweep, in the process where Ray Tune runs it.

With one worker the loop runs right here, in a process that is kept for the next trial: what torch and DeepSpeed cost to
import is paid once. With several it goes through Ray Train, as `sanpose train` does. The loop is the same.
"""

from __future__ import annotations

import functools
import gc
import json
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sanpose.config.schema import Config
from sanpose.runs import ledger
from sweeps.files import BrokenRecord
from sweeps.runner import OUTCOME, SCORE

_POLL_SECONDS = 0.2


def trial(payload: dict[str, Any]) -> None:
    """Train a payload's configuration in its folder; report scores along the way, and last the outcome.

    payload: {"config": plain, "folder": path, "cuda": bool}. What a run dies of by itself (bad data, a loss that isn't
    finite, no memory) is its outcome; only the death of a process is left to Tune. Of one that dies while the driver
    takes its outcome in, Tune does not know that it had ended: begun again, a run that is done is left as it is.
    """
    import ray.tune
    from ray.exceptions import OutOfMemoryError, RayActorError

    from sanpose.config.compose import from_plain

    chosen = from_plain(payload["config"])
    folder = Path(payload["folder"])
    if _done(folder):
        return
    try:
        train = _here if chosen.train.workers == 1 else _through_ray_train
        outcome = train(chosen, folder, bool(payload["cuda"]))
    except Exception as error:
        if isinstance(error.__cause__, RayActorError | OutOfMemoryError):  # what directs the workers was killed
            raise
        traceback.print_exc()  # into the run's log
        outcome = {"failure": str(error) or type(error).__name__}
    finally:
        gc.collect()
    ray.tune.report({OUTCOME: json.dumps(outcome), "epoch": chosen.train.epochs})


@functools.cache
def _freeze() -> None:
    """Spare the garbage collector the half a million objects of what was imported: 0.25 s a trial."""
    gc.collect()
    gc.freeze()


def _done(folder: Path) -> bool:
    """Whether the driver has recorded a run as done."""
    try:
        return ledger.read(folder).status == "done"
    except BrokenRecord:  # not there yet, by what a network file system says: then it has just been begun
        return False


def _here(chosen: Config, folder: Path, cuda: bool) -> dict[str, Any]:
    """Train in this process."""
    import ray.tune
    import torch

    from sanpose.errors import StoppedError
    from sanpose.runs import locks
    from sanpose.training import engine, loop, ray_train

    _freeze()
    ray_train.log_to(folder / "logs" / "worker-0.log")
    device = torch.device("cuda", 0) if cuda else torch.device("cpu")
    engine.single_process(device.type)

    def report(values: dict[str, Any]) -> None:
        if values["epoch"] < chosen.train.epochs:  # a run that has got that far is not given up any more
            ray.tune.report({"epoch": values["epoch"], SCORE: values["score"]})

    # What the last driver did not hear before it died, or was about to give the run up for.
    for earlier in _evaluations(chosen, folder, 0):
        ray.tune.report(earlier)
    try:
        with locks.sole(folder):
            figures = loop.train(chosen, folder, engine.WorkerPlace(0, 1, device), report)
    except StoppedError as stopped:
        return {"stopped": str(stopped)}
    finally:
        if cuda:
            torch.cuda.empty_cache()
    return ray_train.trained(chosen, figures, device.type)


def _through_ray_train(chosen: Config, folder: Path, _cuda: bool) -> dict[str, Any]:
    """Train in Ray Train's workers, and pass on what their journal says."""
    import ray.tune

    from sanpose.training import ray_train

    result: dict[str, Any] = {}

    def fit() -> None:
        try:
            result.update(ray_train.fit(chosen, folder))
        except Exception as error:
            result["error"] = error

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    told = 0
    while thread.is_alive():
        thread.join(_POLL_SECONDS)
        for values in _evaluations(chosen, folder, told):
            told = values["epoch"]
            ray.tune.report(values)
    if "error" in result:
        raise result["error"]
    return result


def _evaluations(chosen: Config, folder: Path, after: int) -> Iterator[dict[str, Any]]:
    """The evaluations past an epoch, as reports, that are in a run's journal; not those of the last epoch."""
    from sanpose.metrics import headline
    from sanpose.runs import journal

    for line in journal.read(folder / journal.NAME):
        if line["kind"] == "evaluation" and after < line["epoch"] < chosen.train.epochs:
            yield {"epoch": line["epoch"], SCORE: headline.score(line["figures"])}
