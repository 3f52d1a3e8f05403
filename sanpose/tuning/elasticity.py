"""What a sweep could use of a cluster whose nodes come and go: told to the job's launcher while the sweep runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from cluster.raycluster import elastic

_TELL_SECONDS = 3.0
_HEAD = "node:__internal_head__"  # the resource by which Ray marks the head's node
_LOST_NODES = 100  # under one trial, before it is taken for the trial's own fault


def concurrent(places: int, resources: Mapping[str, float]) -> int:
    """How many trials may run side by side: there are places now, or there will be with all nodes that may come."""
    return max(places, _on_head(resources) + elastic.most_nodes() * _per_node(resources))


def failures(most: int) -> int:
    """How often a trial's process may die. Nodes that are lent may go at any time, which is no fault of the trial."""
    return max(most, _LOST_NODES) if elastic.most_nodes() else most


@contextmanager
def told(left: Callable[[], int], resources: Mapping[str, float]) -> Iterator[None]:
    """Tell every few seconds how many trials are left, and which nodes are busy, until the block ends.

    resources: what the process of one trial holds in Ray. Nothing is told where the cluster is as large as it gets.
    """
    if not elastic.most_nodes():
        yield
        return
    ended = threading.Event()

    def tell() -> None:
        while True:
            with contextlib.suppress(OSError):  # the file system is full or read-only for a while
                elastic.demand(left(), _per_node(resources), _busy())
            if ended.wait(_TELL_SECONDS):
                return

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_TELL_SECONDS)  # it may wait for a study that waits for its disk
        with contextlib.suppress(OSError):
            elastic.demand(0, 1, [])


def _per_node(resources: Mapping[str, float]) -> int:
    """Trials that the roomiest node can run side by side."""
    return max(1, *(room for room, _ in _rooms(resources)))


def _on_head(resources: Mapping[str, float]) -> int:
    """Trials that the head's own node can run side by side; none of those that only mind workers elsewhere."""
    return sum(room for room, head in _rooms(resources) if head and resources.get("CPU"))


def _rooms(resources: Mapping[str, float]) -> list[tuple[int, bool]]:
    """Of every node, how many trials it can run side by side, and whether it is the head's."""
    import ray

    needs = {name: amount for name, amount in resources.items() if amount > 0 and not name.startswith("node:")}
    return [
        (min((int(has.get(name, 0) // amount) for name, amount in needs.items()), default=1), _HEAD in has)
        for has in (node["Resources"] for node in ray.nodes() if node["Alive"])
    ]


def _busy() -> list[str]:
    """The addresses of nodes some of whose CPUs or GPUs are taken."""
    import ray
    from ray._private.state import available_resources_per_node

    free = available_resources_per_node()
    return [
        node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"]
        and any(
            free.get(node["NodeID"], {}).get(name, 0.0) < node["Resources"].get(name, 0.0) for name in ("CPU", "GPU")
        )
    ]
