"""The networks whose clients may use the gateway; the same for every port."""

import ipaddress
from collections.abc import Sequence

from gateway.settings import Network


class Networks:
    """An allow-list of networks; without one, everybody is allowed.

    `networks`: None for all addresses.
    """

    def __init__(self, networks: Sequence[Network] | None) -> None:
        self._networks = networks

    def allows(self, address: str) -> bool:
        """Whether a client with this IP address may use the gateway.

        An IPv4 address that comes as IPv6 (`::ffff:10.0.0.7`) counts as what it is, and an interface's name
        (`fe80::1%eth0`) does not count. What is no address is not allowed, unless everybody is.
        """
        if self._networks is None:
            return True
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        # An address of the one version is in no network of the other.
        return any(parsed in network for network in self._networks)
