"""A sweep on a cluster whose nodes join and leave: how many trials fit, and the demand that the job's launcher
reads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from cluster.raycluster import elastic

_REPORT_SECONDS = 3.0
_HEAD = "node:__internal_head__"  # Ray marks the head's node with this resource
_LOST_NODES = 100  # as many may be lost under one trial before the trial counts as failed


def concurrent(places: int, resources: Mapping[str, float]) -> int:
    """How many trials may run side by side, now or when all nodes have joined."""
    return max(places, _on_head(resources) + elastic.most_nodes() * _per_node(resources))


def max_failures(most: int) -> int:
    """How often the process of a trial may die. An elastic node may leave at any time, which is no failure."""
    return max(most, _LOST_NODES) if elastic.most_nodes() else most


@contextmanager
def demand_reported(remaining: Callable[[], int], resources: Mapping[str, float]) -> Iterator[None]:
    """Report every few seconds how many trials remain, and which nodes are busy, until the block ends.

    resources: of the process of one trial, in Ray. Reports nothing where no nodes can join.
    """
    if not elastic.most_nodes():
        yield
        return
    finished = threading.Event()

    def report() -> None:
        while True:
            with contextlib.suppress(OSError):  # the file system is full or read-only for a while
                elastic.demand(remaining(), _per_node(resources), _busy())
            if finished.wait(_REPORT_SECONDS):
                return

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join(_REPORT_SECONDS)  # the thread may wait for a study that waits for its disk
        with contextlib.suppress(OSError):
            elastic.demand(0, 1, [])


def _per_node(resources: Mapping[str, float]) -> int:
    """How many trials the largest node can run side by side."""
    return max(1, *(room for room, _ in _rooms(resources)))


def _on_head(resources: Mapping[str, float]) -> int:
    """How many trials the head node can run side by side; 0 if the workers of a trial run elsewhere."""
    return sum(room for room, head in _rooms(resources) if head and resources.get("CPU"))


def _rooms(resources: Mapping[str, float]) -> list[tuple[int, bool]]:
    """For every node, how many trials it can run side by side, and whether it is the head."""
    import ray

    needs = {name: amount for name, amount in resources.items() if amount > 0 and not name.startswith("node:")}
    return [
        (min((int(has.get(name, 0) // amount) for name, amount in needs.items()), default=1), _HEAD in has)
        for has in (node["Resources"] for node in ray.nodes() if node["Alive"])
    ]


def _busy() -> list[str]:
    """The addresses of nodes with CPUs or GPUs in use."""
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
