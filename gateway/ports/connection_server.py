"""How a port's connections begin and end; a refused one stays open until it has been told why."""

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from ssl import SSLContext
from typing import Generic, TypeVar

from gateway.ports.acceptor import Acceptor
from gateway.ports.open_connections import OpenConnections, wait_until_closed
from gateway.ports.watch import watch_connections
from gateway.settings import GatewaySettings
from gateway.telemetry.port_metrics import PortMetrics

logger = logging.getLogger(__name__)

# Refused connections that stay open until they have been told why; further ones are closed at once.
MAX_REFUSED = 64
_LAST_WORDS_S = 0.6
_MAX_ARRIVING_BYTES = 2**30


class ServedConnection(asyncio.BaseProtocol, ABC):
    """One connection.

    Attributes:
        address: the client's.
        closed: set when it has ended.
    """

    address: str
    closed: asyncio.Event
    transport: asyncio.Transport

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the client's handshake is over and it has not left."""

    @property
    @abstractmethod
    def held_bytes(self) -> int:
        """Bytes of the request that is arriving."""

    @abstractmethod
    def stop(self) -> None:
        """Take no more requests; close when the last reply is out."""

    @abstractmethod
    def abandon(self) -> None:
        """Answer what still waits with an error, and close."""

    @abstractmethod
    def cut(self) -> None:
        """End the connection, because its unfinished request holds most of the memory."""

    @abstractmethod
    def check_times(self, now: float) -> None:
        """End a connection that is too slow or was silent too long; `now` is from `time.perf_counter`."""


Connection = TypeVar("Connection", bound=ServedConnection)


class ConnectionServer(ABC, Generic[Connection]):
    """Serves a port's connections; a subclass makes them, in `_enter`.

    Args:
        settings: the gateway's.
        metrics: counts refused connections.
        tls: the TLS that each connection must use, None for none.
    """

    def __init__(self, settings: GatewaySettings, metrics: PortMetrics, tls: SSLContext | None) -> None:
        self.settings = settings
        self.metrics = metrics
        self._tls = tls
        self._connections: OpenConnections[Connection] = OpenConnections(settings)
        self._refused: set[Connection] = set()

    async def start(self, listener: socket.socket) -> None:
        """Begin to serve a listening socket's connections, in the running event loop."""
        settings = self.settings
        self._acceptor = Acceptor(
            listener, self._enter, self._not_opened, tls=self._tls, handshake_s=settings.header_timeout_s
        )
        self._watch = asyncio.create_task(watch_connections(self._open, settings, _MAX_ARRIVING_BYTES))

    async def stop(self, grace_s: float) -> None:
        """Take no more requests, give those in flight `grace_s` seconds, answer the rest with an error."""
        self._watch.cancel()
        await asyncio.gather(self._watch, self._acceptor.close(), return_exceptions=True)
        connections = self._open()
        for connection in connections:
            connection.stop()
        closed = [connection.closed for connection in connections]
        await wait_until_closed(closed, grace_s)
        for connection in connections:
            connection.abandon()
        await wait_until_closed(closed, _LAST_WORDS_S)
        for connection in self._open():
            connection.transport.abort()

    @abstractmethod
    def _enter(self, accepted: socket.socket, address: str, port: int) -> Connection | None:
        """Return a new connection, and count it; None to close its socket."""

    def _not_opened(self, connection: Connection, error: OSError) -> None:
        if self._tls is None:
            logger.info("a connection from %s could not be opened: %s", connection.address, error)
        else:
            logger.info("%s did not speak TLS: %r", connection.address, error)
            self.metrics.refused("tls")
        self._closed(connection)

    def _closed(self, connection: Connection) -> None:
        """Count a connection as closed."""
        self._refused.discard(connection)
        self._connections.remove(connection)

    def _open(self) -> list[Connection]:
        """Return all connections whose handshake is over."""
        return [one for one in (*self._connections, *self._refused) if one.is_open]
