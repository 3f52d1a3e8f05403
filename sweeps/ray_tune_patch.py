"""A patch of Ray Tune: a process that Ray kills for memory counts as a dead process.

Works around: Ray Tune's controller handles RayActorError alone. An OutOfMemoryError of one trial's process ends the
whole sweep (ray.tune.execution.tune_controller, Ray 2.60).
"""

from __future__ import annotations

import re

from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller


def survive_out_of_memory() -> None:
    """Patch Ray Tune in this process."""
    tune_controller.RayActorManager = Actors


class Actors(RayActorManager):  # type: ignore[misc]
    """Tune's processes, with the patch."""

    def _actor_task_failed(self, tracked_actor_task: object, exception: Exception) -> None:
        super()._actor_task_failed(tracked_actor_task, _as_death(exception))

    def _actor_start_failed(self, tracked_actor: object, exception: Exception) -> None:
        super()._actor_start_failed(tracked_actor, _as_death(exception))


def _as_death(error: Exception) -> Exception:
    if not isinstance(error, OutOfMemoryError):
        return error
    usage = re.search(r"[\d.]+ ?[KMG]?B used / [\d.]+ ?[KMG]?B", str(error))
    death: Exception = RayActorError(
        error_msg=f"Ray killed its process because memory ran low ({usage[0] if usage else '?'})"
    )
    return death
