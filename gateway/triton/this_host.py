"""Whether Triton runs on this host, by its address."""

import ipaddress
import socket
from collections.abc import Sequence

from contract.endpoint import Endpoint
from gateway.errors import StartError


def may_share(endpoints: Sequence[Endpoint]) -> bool:
    """Return whether there is one endpoint, with an address of this host; names are not looked up."""
    if len(endpoints) != 1:
        return False
    host = "127.0.0.1" if endpoints[0].host == "localhost" else endpoints[0].host
    try:
        return _is_local(host)
    except ValueError:
        return False


def require_local(endpoints: Sequence[Endpoint]) -> None:
    """Raise StartError unless there is one endpoint, and it is on this host."""
    if len(endpoints) != 1:
        raise StartError(
            f"--triton-shared-memory needs one Triton, but --triton names {len(endpoints)}: leave one of the "
            "two settings out"
        )
    try:
        addresses = {entry[4] for entry in socket.getaddrinfo(*endpoints[0])}
    except OSError:
        addresses = set()
    if not addresses or not all(_is_local(str(address[0])) for address in addresses):
        raise StartError(
            f"--triton-shared-memory needs a Triton on this host, but --triton is {str(endpoints[0])!r}: "
            "name it by an address of this host, such as 127.0.0.1:8001, or leave the setting out"
        )


def _is_local(address: str) -> bool:
    if ipaddress.ip_address(address).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))  # only works for addresses of this host
        except OSError:
            return False
    return True
