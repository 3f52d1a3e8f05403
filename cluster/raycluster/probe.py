"""Whether anything listens at the address of a Ray cluster, before Ray itself tries: Ray's own way to give up on a dead
address is to end the process without an error of ours."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

SECONDS = 10.0
# Where `ray start` notes the address that `auto` means.
CURRENT_CLUSTER = Path("/tmp/ray/ray_current_cluster")


def require_listener(address: str) -> None:
    """Say that a connection is tried, and try it. Raises ConnectionError when nothing listens within `SECONDS`.

    address: as in RAY_ADDRESS: HOST:PORT, ray://HOST:PORT, or auto. Other forms are left to Ray.
    """
    print(f"connecting to the Ray cluster at RAY_ADDRESS={address}", file=sys.stderr, flush=True)
    place = address
    if address == "auto" and CURRENT_CLUSTER.is_file():
        place = CURRENT_CLUSTER.read_text().strip()
    host, colon, port = place.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS).close()
    except OSError as error:
        raise ConnectionError(f"nothing listens at {place} ({error})") from error
