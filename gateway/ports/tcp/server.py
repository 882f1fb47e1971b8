"""Port 5556: who may connect, how many, and for how long; `connection` is one connection."""

import functools
import logging
import socket

from gateway.errors import AccessError
from gateway.ports.connection_server import MAX_REFUSED, ConnectionServer
from gateway.ports.port import Services
from gateway.ports.sockets import end_by_reset, tls_context
from gateway.ports.tcp.connection import Shared, TcpConnection
from gateway.ports.token import read_token
from gateway.protocol.tcp.streams import stream_for

logger = logging.getLogger(__name__)


class TcpServer(ConnectionServer[TcpConnection]):
    """Serves TCP clients; each connection has its own session and frame context."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        token = read_token(settings.tcp_token_file, "--tcp-token-file")
        tls = tls_context(settings.tcp_tls_cert, settings.tcp_tls_key, "--tcp-tls-cert")
        super().__init__(settings, services.metrics.port("tcp"), tls)
        service = services.of_port(self.metrics, settings.tcp_deadline_s)
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

    def _enter(self, accepted: socket.socket, address: str, port: int) -> TcpConnection | None:
        refusal = self._connections.refusal(address)
        if refusal is None:
            connection = TcpConnection(self._shared, address, port)
            self._connections.add(connection, address)
            return connection
        self.metrics.refused(refusal.reason)
        logger.info("a connection from %s is refused: %s", address, refusal.sentence)
        if self._tls is not None:
            # Before the TLS handshake there is no way to say why.
            return None
        if len(self._refused) >= MAX_REFUSED:
            end_by_reset(accepted, wanted=True)
            return None
        connection = TcpConnection(self._shared, address, port, AccessError(refusal.sentence))
        self._refused.add(connection)
        return connection
