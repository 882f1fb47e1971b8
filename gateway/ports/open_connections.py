"""The open connections of one port, and who may open another: the same rules on every port."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.ports.addresses import is_allowed
from gateway.settings import GatewaySettings

Connection = TypeVar("Connection", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is refused: the metrics' word for it, and a sentence for the client."""

    reason: str
    sentence: str


class OpenConnections(Generic[Connection]):
    """Connections with their clients' addresses."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._networks = settings.networks
        self._most = settings.max_clients
        self._max_per_address = settings.max_connections_per_address
        self._addresses: dict[Connection, str] = {}
        self._per_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._addresses)

    def refusal(self, address: str) -> Refusal | None:
        """Return why an address may not have another connection, or None."""
        if not is_allowed(address, self._networks):
            return Refusal("network", f"clients from {address} may not use this gateway: ask its operator")
        if len(self) >= self._most:
            return Refusal("clients", f"the gateway has {self._most} clients already: try again later")
        if self._per_address[address] >= self._max_per_address:
            return Refusal(
                "connections",
                f"{self._max_per_address} connections from {address} are open already: close some",
            )
        return None

    def add(self, connection: Connection, address: str) -> None:
        """Count a new connection."""
        self._addresses[connection] = address
        self._per_address[address] += 1

    def remove(self, connection: Connection) -> None:
        """Count a connection as closed, if it was counted as open."""
        address = self._addresses.pop(connection, None)
        if address is not None:
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]


async def wait_until_closed(closed: Iterable[asyncio.Event], within_s: float) -> None:
    """Wait until all connections are closed, at most `within_s` seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            for event in closed:
                await event.wait()
