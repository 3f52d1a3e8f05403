"""A sweep's Optuna study, where it left one: how much each key matters. Optuna is imported only when there is one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from sweeps.record import Sweep

FILE = "study.log"  # Optuna's journal storage


class NoImportanceError(Exception):
    """Why there are no importances, in words for the report."""


def importances(sweep: Sweep) -> Mapping[str, float]:
    """Key -> its share (of 1) in the variation of the first objective, by PED-ANOVA, which needs no further package.

    Raises NoImportanceError when the sweep has no study, or one with too few finished trials.
    """
    path = sweep.folder / FILE
    if not path.is_file():
        raise NoImportanceError("the sweep kept no Optuna study: importances are for searches, not for grids")
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.load_study(study_name=sweep.name, storage=JournalStorage(JournalFileBackend(str(path))))
        # PED-ANOVA asks what makes the target low, and warns whoever names a target that this may not be meant.
        sign = -1.0 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else 1.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = get_param_importances(
                study, evaluator=PedAnovaImportanceEvaluator(), target=lambda trial: sign * float(trial.values[0])
            )
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise NoImportanceError(
            f"Optuna cannot say ({' '.join(str(error).split()) or type(error).__name__})"
        ) from error
    return {str(name): float(share) for name, share in found.items()}
