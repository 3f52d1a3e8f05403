"""A block of ports for one process, on a node that other users share.

A process claims a block by binding abstract Unix sockets. The kernel keeps these per network namespace, as it does
ports, and releases them when the process ends, however it ends. No files remain, and claims of other users count too.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

FIRST, LAST = 20000, 32700  # below Linux's ephemeral ports, which start at 32768
UNIT = 100


@dataclass
class Block:
    """Ports [first, first + size), claimed until `release` or the end of the process."""

    first: int
    size: int
    claims: list[socket.socket]

    def release(self) -> None:
        for claim in self.claims:
            claim.close()


def claim(size: int) -> Block | None:
    """Claim `size` consecutive ports on which nothing listens now; None when the node has no free block."""
    units = -(-size // UNIT)
    for first in range(FIRST, LAST - units * UNIT + 1, UNIT):
        claims = _claim_units(first, units)
        if claims is None:
            continue
        block = Block(first, units * UNIT, claims)
        if all(map(_free, range(first, first + size))):
            return block
        block.release()
    return None


def _claim_units(first: int, units: int) -> list[socket.socket] | None:
    claims: list[socket.socket] = []
    for start in range(first, first + units * UNIT, UNIT):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0sanpose-ports-{start}")
        except OSError:
            claim.close()
            for other in claims:
                other.close()
            return None
        claims.append(claim)
    return claims


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
