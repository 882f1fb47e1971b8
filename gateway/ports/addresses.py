"""Clients' addresses: which are this machine's, and which may use the gateway."""

import ipaddress
from collections.abc import Sequence

from gateway.settings import Network


def is_allowed(address: str, networks: Sequence[Network] | None) -> bool:
    """Return whether a client with this IP address may use the gateway.

    Args:
        address: the client's.
        networks: those that may, None for everyone. A text that is not an address is in none of them.
    """
    if networks is None:
        return True
    parsed = _parsed(address)
    # An address of the one version is in no network of the other.
    return parsed is not None and any(parsed in network for network in networks)


def is_loopback(address: str) -> bool:
    """Return whether only this machine can have this address."""
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an IP address, without an interface's name (`fe80::1%eth0`); None for other texts.

    An IPv4 address written as IPv6 (`::ffff:10.0.0.7`) becomes IPv4 again.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
