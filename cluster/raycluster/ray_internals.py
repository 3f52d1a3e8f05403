"""Private interfaces of Ray that have no public equivalent. Check this module when Ray's version changes."""

from __future__ import annotations

from pathlib import Path


def remove_orphaned_placement_groups() -> None:
    """Remove the placement groups whose creator, an actor of this driver, has died. Ray must be connected.

    Ray removes them only when the job ends: `ray.util.placement_group_table()` does not say who created a placement
    group or whether the creator is alive, so this reads the table of Ray's global state (`ray._private.state`).
    """
    import ray
    from ray._private.state import state
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData as Group
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    job, driver = ray.get_runtime_context().get_job_id(), ray.ActorID.nil().binary()
    for row in state._connect_and_get_accessor().get_placement_group_table():
        group = Group.FromString(row)
        if (
            group.creator_actor_dead
            and group.creator_actor_id != driver
            and group.creator_job_id.hex() == job
            and not group.is_detached
            and group.state != Group.REMOVED
        ):
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))


def cluster_id(gcs_address: str) -> str:
    """The id of the Ray cluster at an address, in hexadecimal. Raises Ray's error when the cluster does not answer.

    Ray has no public way to start a dashboard for a running cluster; the dashboard's program asks for this id.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled

    return str(GcsClient(address=gcs_address).cluster_id.hex())


def dashboard_program() -> Path:
    """The program that Ray starts as its dashboard; it has no command of its own."""
    import ray

    return Path(ray.__file__).parent / "dashboard" / "dashboard.py"
