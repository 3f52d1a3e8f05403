"""The importance of each swept key, from a sweep's Optuna study in its folder or in a database. Optuna is imported only
for a sweep that may have a study."""

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


_ALONE = "only {} was varied; importance compares several keys"


class NoImportanceError(Exception):
    """The reason why there are no importances, in words for the report."""


def importances(sweep: SweepRecord) -> Mapping[str, float]:
    """Key -> its share (of 1) in the variation of the first objective, by PED-ANOVA, which needs no further package.

    Raises NoImportanceError for a sweep without a study, with too few finished trials, or with a single varied key.
    """
    axes = sweep.head.get("axes")
    if isinstance(axes, list) and len(axes) == 1 and isinstance(axes[0], Mapping):
        raise NoImportanceError(_ALONE.format(axes[0].get("name")))
    try:
        url = record.storage(sweep)
    except OSError as error:
        raise NoImportanceError(
            "only the owner of its study's database can read the database URL, which holds a password"
        ) from error
    if not url and not (sweep.folder / storage.JOURNAL).is_file():
        raise NoImportanceError("the sweep has no Optuna study in its folder")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = storage.load(sweep.folder, sweep.name, url)
        if study is None:
            raise NoImportanceError("the sweep has no Optuna study in the storage that its record names")
        return _shares(study)
    except BadSweep as error:
        raise NoImportanceError(str(error)) from error
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise NoImportanceError(
            f"Optuna cannot compute the importances ({' '.join(str(error).split()) or type(error).__name__})"
        ) from error


def _shares(study: optuna.Study) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = {name: {repr(trial.params[name]) for trial in done if name in trial.params} for name in _names(done)}
    varied = [name for name, different in values.items() if len(different) > 1]
    if len(varied) < 2:
        raise NoImportanceError(_ALONE.format(varied[0]) if varied else "no two finished trials differ in a key")
    # PED-ANOVA explains low values of the target; it warns about any explicit target, also about this correct one.
    sign = -1.0 if study.directions[0] == StudyDirection.MAXIMIZE else 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        shares = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(), target=lambda trial: sign * float(trial.values[0])
        )
    return {str(name): float(share) for name, share in shares.items()}


def _names(trials: Sequence[FrozenTrial]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.params))
