"""What a dead process of Ray Train's has left reserved: the CPUs and GPUs of workers that nobody directs any more.

Ray leaves it to a helper, which asks Ray's dashboard whether the process lives; a private Ray has none, and then nobody
would ever get the room again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LOOK_SECONDS, _END_SECONDS = 1.0, 5.0


@contextmanager
def orphans_removed() -> Iterator[None]:
    """Remove, as long as the block runs, the placement groups of this driver's actors that have died. Ray must be
    connected."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            with suppress(Exception):  # Ray is ending, or does not answer for a moment
                _remove_orphans()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_END_SECONDS)
        with suppress(Exception):
            _remove_orphans()


def _remove_orphans() -> None:
    import ray
    from ray._private.state import state
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData as Group
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    job, driver = ray.get_runtime_context().get_job_id(), ray.ActorID.nil().binary()
    for told in state._connect_and_get_accessor().get_placement_group_table():
        group = Group.FromString(told)
        if (
            group.creator_actor_dead
            and group.creator_actor_id != driver
            and group.creator_job_id.hex() == job
            and not group.is_detached
            and group.state != Group.REMOVED
        ):
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
