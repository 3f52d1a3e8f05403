"""A sweep's Optuna study, where it left one, in its folder or in a database: how much each key matters. Optuna is
imported only where there may be one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sweeps import record, storage
from sweeps.definition import BadSweep
from sweeps.record import SweepRecord

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


_ALONE = "only {} was varied: importance is a matter between keys"


class NoImportanceError(Exception):
    """Why there are no importances, in words for the report."""


def importances(sweep: SweepRecord) -> Mapping[str, float]:
    """Key -> its share (of 1) in the variation of the first objective, by PED-ANOVA, which needs no further package.

    Raises NoImportanceError when the sweep has no study, one with too few finished trials, or one that varied one key.
    """
    axes = sweep.head.get("axes")
    if isinstance(axes, list) and len(axes) == 1 and isinstance(axes[0], Mapping):
        raise NoImportanceError(_ALONE.format(axes[0].get("name")))
    try:
        url = record.storage(sweep)
    except OSError as error:
        raise NoImportanceError("the URL of its study's database, with a password, is for its owner to read") from error
    if not url and not (sweep.folder / storage.JOURNAL).is_file():
        raise NoImportanceError("the sweep kept no Optuna study: there is none in its folder")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = storage.load(sweep.folder, sweep.name, url)
        if study is None:
            raise NoImportanceError(
                "the sweep kept no Optuna study: there is none in the storage that its record names"
            )
        return _shares(study)
    except BadSweep as error:
        raise NoImportanceError(str(error)) from error
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise NoImportanceError(
            f"Optuna cannot say ({' '.join(str(error).split()) or type(error).__name__})"
        ) from error


def _shares(study: optuna.Study) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = {name: {repr(trial.params[name]) for trial in done if name in trial.params} for name in _names(done)}
    varied = [name for name, found in values.items() if len(found) > 1]
    if len(varied) < 2:
        raise NoImportanceError(_ALONE.format(varied[0]) if varied else "no two finished trials differ in a key")
    # PED-ANOVA asks what makes the target low, and warns whoever names a target that this may not be meant.
    sign = -1.0 if study.directions[0] == StudyDirection.MAXIMIZE else 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(), target=lambda trial: sign * float(trial.values[0])
        )
    return {str(name): float(share) for name, share in found.items()}


def _names(trials: Sequence[FrozenTrial]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.params))
