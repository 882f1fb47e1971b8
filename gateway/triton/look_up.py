"""The addresses of Triton's endpoints; those of host names may change while the gateway runs."""

import asyncio
import logging
import socket
from collections.abc import Sequence

from contract.endpoint import Endpoint
from gateway.triton.target import Addresses

logger = logging.getLogger(__name__)


class LookUp:
    """Looks up endpoints. One that cannot be looked up keeps its old addresses."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._addresses: dict[Endpoint, tuple[Endpoint, ...]] = dict.fromkeys(endpoints, ())
        self._problems: dict[Endpoint, str] = {}

    @property
    def addresses(self) -> Addresses:
        """The addresses of each endpoint, in a fixed order; none for a name that is still unknown."""
        return dict(self._addresses)

    async def refresh(self) -> bool:
        """Look up all endpoints; return whether addresses have changed."""
        before = self.addresses
        for endpoint in before:
            try:
                self._addresses[endpoint] = await _addresses_of(endpoint)
                self._problems.pop(endpoint, None)
            except (OSError, UnicodeError) as error:
                # Log it once, not at each look-up.
                if self._problems.get(endpoint) != str(error):
                    logger.warning("%s of --triton cannot be looked up: %s", endpoint, error)
                self._problems[endpoint] = str(error)
        return before != self._addresses


async def _addresses_of(endpoint: Endpoint) -> tuple[Endpoint, ...]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(*endpoint, type=socket.SOCK_STREAM)
    return tuple(sorted({Endpoint(str(entry[4][0]), endpoint.port) for entry in found}))
