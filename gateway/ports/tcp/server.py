"""Port 5556: who may connect, how many, and for how long; `connection` is one of them."""

import asyncio
import functools
import logging
import socket

from gateway.errors import AccessError
from gateway.ports.acceptor import Acceptor
from gateway.ports.open_connections import OpenConnections, wait_until_closed
from gateway.ports.port import Services
from gateway.ports.sockets import end_by_reset, tls_context
from gateway.ports.tcp.connection import Shared, TcpConnection
from gateway.ports.token import read_token
from gateway.ports.watch import watch_connections
from gateway.protocol.tcp.streams import stream_for

logger = logging.getLogger(__name__)

# Refused connections that are held until they have been told why; beyond them nobody is told.
_MOST_REFUSED = 64
_LAST_WORDS_S = 0.6
_MOST_ARRIVING_BYTES = 2**30


class TcpServer:
    """Serves TCP clients; each connection has its own session and frame context."""

    def __init__(self, services: Services) -> None:
        self.settings = settings = services.settings
        self.metrics = services.metrics.port("tcp")
        service = services.of_port(self.metrics, settings.tcp_deadline_s)
        token = read_token(settings.tcp_token_file, "--tcp-token-file")
        self._connections: OpenConnections[TcpConnection] = OpenConnections(settings)
        self._refused: set[TcpConnection] = set()
        self._tls = tls_context(settings.tcp_tls_cert, settings.tcp_tls_key, "--tcp-tls-cert")
        self.metrics.count_clients_by(lambda: sum(not one.is_authorised for one in self._connections))
        new_stream = functools.partial(
            stream_for,
            max_header_bytes=settings.max_header_bytes,
            max_header_depth=settings.max_header_depth,
            max_image_bytes=settings.max_image_bytes,
        )
        authorised_metrics = self.metrics
        if token is not None:
            authorised_metrics = services.metrics.port("tcp", "authorised")
            authorised_metrics.count_clients_by(lambda: sum(one.is_authorised for one in self._connections))
        self._shared = Shared(settings, new_stream, service, authorised_metrics, token, self._closed)

    async def start(self, listener: socket.socket) -> None:
        """Begin to serve who connects to a socket that listens, in the running event loop."""
        settings = self.settings
        self._acceptor = Acceptor(
            listener, self._enter, self._not_opened, tls=self._tls, handshake_s=settings.header_timeout_s
        )
        self._watch = asyncio.create_task(watch_connections(self._open, settings, _MOST_ARRIVING_BYTES))

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

    def _enter(self, accepted: socket.socket, address: str, port: int) -> TcpConnection | None:
        refusal = self._connections.refusal(address)
        if refusal is None:
            connection = TcpConnection(self._shared, address, port)
            self._connections.add(connection, address)
            return connection
        self.metrics.refused(refusal.reason)
        logger.info("a connection from %s is refused: %s", address, refusal.sentence)
        if self._tls is not None:
            # Nobody is told before TLS stands.
            return None
        if len(self._refused) >= _MOST_REFUSED:
            end_by_reset(accepted, wanted=True)
            return None
        connection = TcpConnection(self._shared, address, port, AccessError(refusal.sentence))
        self._refused.add(connection)
        return connection

    def _not_opened(self, connection: TcpConnection, error: OSError) -> None:
        if self._tls is None:
            logger.info("a connection from %s could not be opened: %s", connection.address, error)
        else:
            logger.info("%s did not speak TLS: %r", connection.address, error)
            self.metrics.refused("tls")
        self._closed(connection)

    def _closed(self, connection: TcpConnection) -> None:
        """Count a connection as closed."""
        self._refused.discard(connection)
        self._connections.remove(connection)

    def _open(self) -> list[TcpConnection]:
        """Return all connections, but those whose handshake is not over."""
        return [one for one in (*self._connections, *self._refused) if one.is_open]
