"""What a dead actor had reserved is free again; what a living one or the driver has reserved stays."""

from __future__ import annotations

import time

from cluster.raycluster import placements
from cluster.raycluster.connect import ray_cluster


class Owner:
    """Reserves a CPU, as the actor does that directs Ray Train's workers."""

    def __init__(self) -> None:
        from ray.util import placement_group

        self.group = placement_group([{"CPU": 1}])

    def ready(self) -> str:
        import ray

        ray.get(self.group.ready())
        return str(self.group.id.hex())


def states() -> dict[str, str]:
    from ray.util import placement_group_table

    return {name: group["state"] for name, group in placement_group_table().items()}


def test_only_the_placement_groups_of_dead_actors_are_removed() -> None:
    with ray_cluster(3):
        import ray
        from ray.util import placement_group

        mine = placement_group([{"CPU": 1}])
        dead, living = (ray.remote(num_cpus=0)(Owner).remote() for _ in range(2))
        orphan, kept = ray.get([dead.ready.remote(), living.ready.remote()], timeout=60)
        ray.get(mine.ready(), timeout=60)
        with placements.orphans_removed():
            ray.kill(dead)
            until = time.monotonic() + 30
            while states()[orphan] != "REMOVED":
                assert time.monotonic() < until, "the room of a dead actor is not given back"
                time.sleep(0.1)
            time.sleep(2.5)
        assert states() == {orphan: "REMOVED", kept: "CREATED", mine.id.hex(): "CREATED"}
