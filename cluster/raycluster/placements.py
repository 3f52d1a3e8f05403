"""Free the CPUs and GPUs that a dead process of Ray Train has left reserved.

Ray Train leaves this to a helper, which asks Ray's dashboard whether the process lives. A private Ray has no dashboard,
so the resources would stay reserved for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cluster.raycluster.ray_internals import remove_orphaned_placement_groups

_LOOK_SECONDS, _END_SECONDS = 1.0, 5.0


@contextmanager
def orphans_removed() -> Iterator[None]:
    """While the block runs, remove the placement groups of this driver's dead actors. Ray must be connected."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            with suppress(Exception):  # Ray is ending, or does not answer for a moment
                remove_orphaned_placement_groups()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_END_SECONDS)
        with suppress(Exception):
            remove_orphaned_placement_groups()
