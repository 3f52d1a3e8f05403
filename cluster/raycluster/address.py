"""The address by which other nodes reach this one."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import psutil

from cluster.errors import ClusterError

INTERFACE = "SANPOSE_INTERFACE"  # such as ib0; by default the interface of the default route


def own_address(environment: Mapping[str, str]) -> str:
    """This node's IPv4 address: of $SANPOSE_INTERFACE, else of the host's name, else of the default route.

    Raises ClusterError when the interface does not exist or has no IPv4 address, or when only loopback exists.
    """
    interface = environment.get(INTERFACE)
    addresses = {
        name: a.address for name, all_ in psutil.net_if_addrs().items() for a in all_ if a.family == socket.AF_INET
    }
    if interface:
        if interface not in addresses:
            raise ClusterError(
                f"the interface {interface} has no IPv4 address",
                where=INTERFACE,
                expected=", ".join(f"{name} ({address})" for name, address in addresses.items()),
            )
        return addresses[interface]
    for address in (_by_name(), _by_route()):
        if address and not address.startswith("127."):
            return address
    raise ClusterError("this node has no address except loopback", expected=f"{INTERFACE}=NAME", hint="ip address")


def _by_name() -> str | None:
    """The address of the host's name. On Debian this is a loopback address, which no other node can use."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return None


def _by_route() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address (RFC 5737): nothing is sent
        except OSError:
            return None
        return str(probe.getsockname()[0])
