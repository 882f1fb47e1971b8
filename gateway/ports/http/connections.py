"""The connections of port 8080: few and short, so that nobody can keep others from the pages."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import cast

from gateway.ports.addresses import is_loopback
from gateway.ports.http_requests import MAX_REQUEST_BYTES

logger = logging.getLogger(__name__)

# Operators' programs ask every few seconds, and share the event loop with the players.
MAX_CONNECTIONS = 64
MAX_CONNECTIONS_PER_ADDRESS = 16
# Reserved for this machine's own programs, such as a container's health check.
MAX_LOCAL_CONNECTIONS = 16
_MAX_CONNECTION_S = 60.0


class HttpConnections:
    """Makes the protocol of each new connection, and closes old ones to make room.

    A new connection always gets in. Where there are too many, an old one goes: the oldest of the same address
    if that has its share, else the oldest of the address that has most. A connection is closed after
    `header_timeout_s` seconds without its first request, and after a minute whatever it does.

    Args:
        make_handler: returns the protocol that speaks HTTP on a connection.
        header_timeout_s: seconds until a connection's first request.
        is_local: whether an address is this machine's.
    """

    def __init__(
        self,
        make_handler: Callable[[], asyncio.Protocol],
        header_timeout_s: float,
        is_local: Callable[[str], bool] = is_loopback,
    ) -> None:
        self.is_local = is_local
        self._make_handler = make_handler
        self._header_timeout_s = header_timeout_s
        # In order of arrival.
        self._open: dict[asyncio.BaseTransport, _Connection] = {}

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a connection that is about to be made."""
        return _Connection(self, self._make_handler())

    def request_came(self, transport: asyncio.BaseTransport | None) -> None:
        """Note that a connection has sent a whole request."""
        connection = self._open.get(transport) if transport is not None else None
        if connection is not None:
            connection.silence.cancel()
            connection.received_bytes = 0

    def ends_at(self, transport: asyncio.BaseTransport | None) -> float:
        """Return when a connection will be closed in any case, by the event loop's clock."""
        connection = self._open.get(transport) if transport is not None else None
        return asyncio.get_running_loop().time() if connection is None else connection.end.when()

    def enter(self, connection: "_Connection") -> None:
        """Count a new connection; if need be, close another to make room."""
        in_the_way = self._in_the_way_of(connection)
        if in_the_way is not None:
            logger.info("too many connections to the HTTP port: closing one from %s", in_the_way.address)
            self._open.pop(in_the_way.transport)
            in_the_way.transport.abort()
        self._open[connection.transport] = connection
        loop = asyncio.get_running_loop()
        # Aborted, not closed: a client that does not read its answer could keep it open.
        connection.silence = loop.call_later(self._header_timeout_s, connection.transport.abort)
        connection.end = loop.call_later(_MAX_CONNECTION_S, connection.transport.abort)

    def leave(self, connection: "_Connection") -> None:
        """Forget a connection that has ended."""
        self._open.pop(connection.transport, None)
        connection.silence.cancel()
        connection.end.cancel()

    def _in_the_way_of(self, new: "_Connection") -> "_Connection | None":
        rivals = [one for one in self._open.values() if one.is_local == new.is_local]
        if new.is_local:
            return rivals[0] if len(rivals) >= MAX_LOCAL_CONNECTIONS else None
        per_address = Counter(one.address for one in rivals)
        if per_address[new.address] >= MAX_CONNECTIONS_PER_ADDRESS:
            crowd = new.address
        elif len(rivals) >= MAX_CONNECTIONS:
            crowd = per_address.most_common(1)[0][0]
        else:
            return None
        return next(one for one in rivals if one.address == crowd)


class _Connection(asyncio.Protocol):
    """One connection: passes everything on to its handler, and reports when it begins and ends."""

    transport: asyncio.Transport
    silence: asyncio.TimerHandle
    end: asyncio.TimerHandle

    def __init__(self, connections: HttpConnections, handler: asyncio.Protocol) -> None:
        self._connections = connections
        self._handler = handler
        self.address = ""
        # Since the last whole request.
        self.received_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        # A client that has already hung up has no address.
        self.address = str(peer[0]) if peer else ""
        self.is_local = self._connections.is_local(self.address)
        self._connections.enter(self)
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self.received_bytes > MAX_REQUEST_BYTES:
            self.transport.abort()
            return
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received()

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.leave(self)
        self._handler.connection_lost(exc)
