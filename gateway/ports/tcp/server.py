"""Port 5556: who may connect, how many, and for how long; `connection` is one of them."""

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from pathlib import Path

from gateway.errors import AccessError, StartError
from gateway.ports.allow_list import Networks
from gateway.ports.listening import listening_socket
from gateway.ports.port import Services
from gateway.ports.tcp.connection import Shared, TcpConnection

logger = logging.getLogger(__name__)

_LONGEST_PAUSE_BETWEEN_CHECKS_S = 0.5
# Refused connections that are held until they have been told why; beyond them nobody is told.
_MOST_REFUSED = 64
_LAST_WORDS_S = 0.6
_PAUSE_AFTER_REFUSAL_S = 0.1
_MOST_ARRIVING_BYTES = 2**30


class TcpServer:
    """Serves TCP clients; each connection has its own session and frame context."""

    def __init__(self, services: Services) -> None:
        self.settings = settings = services.settings
        self.metrics = services.metrics.port("tcp")
        service = services.of_port(self.metrics, settings.tcp_deadline_s)
        token = read_token(settings.tcp_token_file)
        self._networks = Networks(settings.networks)
        self._connections: set[TcpConnection] = set()
        self._refused: set[TcpConnection] = set()
        self._per_address: Counter[str] = Counter()
        # What is listened on, once started; 0 while nobody listens.
        self.port = 0
        self._server: asyncio.Server | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._tls = tls_context(settings.tcp_tls_cert, settings.tcp_tls_key)
        self.metrics.count_clients_by(lambda: sum(not one.is_authorised for one in self._connections))
        authorised_metrics = self.metrics
        if token is not None:
            authorised_metrics = services.metrics.port("tcp", "authorised")
            authorised_metrics.count_clients_by(lambda: sum(one.is_authorised for one in self._connections))
        self._shared = Shared(settings, service, authorised_metrics, token, self.enter, self.leave)

    async def start(self) -> None:
        """Bind the port, unless it is off, and begin to serve, in the running event loop.

        Raises:
            StartError: the port or the host cannot be bound.
        """
        settings = self.settings
        if settings.tcp_port is None:
            return
        loop = asyncio.get_running_loop()
        self._listener = listening_socket(
            settings.host, settings.tcp_port, "--tcp-port", shared=settings.workers > 1
        )
        self.port = int(self._listener.getsockname()[1])
        self._tasks = [asyncio.create_task(self._check_times())]
        if self._tls is None:
            self._server = await loop.create_server(lambda: TcpConnection(self._shared), sock=self._listener)
        else:
            self._tasks.append(asyncio.create_task(self._accept_tls(self._tls)))

    async def stop(self, grace_s: float) -> None:
        """Take no more requests, give those in flight `grace_s` seconds, answer the rest with an error."""
        if not self.port:
            return
        for task in [*self._tasks, *self._handshakes]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._handshakes, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        self._listener.close()
        connections = self._open()
        for connection in connections:
            connection.stop()
        closed = [asyncio.create_task(connection.closed.wait()) for connection in connections]
        if closed:
            await asyncio.wait(closed, timeout=grace_s)
        for connection in connections:
            connection.abandon()
        if closed:
            _, open_still = await asyncio.wait(closed, timeout=_LAST_WORDS_S)
            for waiter in open_still:
                waiter.cancel()
        for connection in self._open():
            connection.abort()

    def enter(self, connection: TcpConnection) -> AccessError | None:
        """Count a new connection; return why it is refused, or None."""
        address = connection.address
        found = self._objection(address)
        if found is None:
            self._connections.add(connection)
            self._per_address[address] += 1
            return None
        reason, refusal = found
        self.metrics.refused(reason)
        logger.info("a connection from %s is refused: %s", address, refusal)
        self._refused.add(connection)
        if len(self._refused) > _MOST_REFUSED:
            connection.abort()
        return AccessError(refusal)

    def _objection(self, address: str) -> tuple[str, str] | None:
        """Return why an address may not have one more connection: the metrics' word, and a sentence."""
        settings = self.settings
        if not self._networks.allows(address):
            return "network", f"clients from {address} may not use this gateway: ask its operator"
        if len(self._connections) >= settings.max_clients:
            return "clients", f"the gateway has {settings.max_clients} clients already: try again later"
        if self._per_address[address] >= settings.max_connections_per_address:
            most = settings.max_connections_per_address
            return "connections", f"{most} connections from {address} are open already: close some"
        return None

    def leave(self, connection: TcpConnection) -> None:
        """Count a connection as closed."""
        self._refused.discard(connection)
        if connection in self._connections:
            self._connections.remove(connection)
            self._per_address[connection.address] -= 1
            if not self._per_address[connection.address]:
                del self._per_address[connection.address]

    async def _accept_tls(self, context: ssl.SSLContext) -> None:
        """Accept connections by hand, so that one counts before its handshake, which may never come."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(self._listener)
            except OSError as error:
                logger.warning("a connection could not be accepted: %s", error)
                await asyncio.sleep(_PAUSE_AFTER_REFUSAL_S)
                continue
            connection = TcpConnection(self._shared, address=str(peer[0]))
            if self.enter(connection) is not None:
                # Nobody is told before TLS stands.
                self._refused.discard(connection)
                accepted.close()
                continue
            task = asyncio.create_task(self._handshake(connection, accepted, context))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _handshake(
        self, connection: TcpConnection, accepted: socket.socket, context: ssl.SSLContext
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=self.settings.header_timeout_s,
                ssl_shutdown_timeout=_LAST_WORDS_S,
            )
        except (OSError, ssl.SSLError) as error:
            logger.info("%s did not speak TLS: %r", connection.address, error)
            self.metrics.refused("tls")
        finally:
            if not connection.is_open:
                self.leave(connection)

    async def _check_times(self) -> None:
        """Look at all connections' times again and again: one timer for all costs less than one for each."""
        settings = self.settings
        shortest_s = min(
            settings.header_timeout_s,
            settings.request_timeout_s,
            settings.take_timeout_s,
            settings.idle_timeout_s,
        )
        pause_s = min(_LONGEST_PAUSE_BETWEEN_CHECKS_S, shortest_s / 4)
        while True:
            await asyncio.sleep(pause_s)
            now = time.perf_counter()
            for connection in self._open():
                connection.check_times(now)
            self._check_memory()

    def _check_memory(self) -> None:
        """Drop who holds most while the images that are arriving take too much in all."""
        held = {connection: connection.held_bytes for connection in self._open()}
        while sum(held.values()) > _MOST_ARRIVING_BYTES:
            greatest = max(held, key=held.__getitem__)
            logger.warning("%s is cut: unfinished images take too much memory", greatest.address)
            self.metrics.refused("memory")
            greatest.abort()
            del held[greatest]

    def _open(self) -> list[TcpConnection]:
        """Return all connections, but those whose handshake is not over."""
        return [one for one in (*self._connections, *self._refused) if one.is_open]


def read_token(path: Path | None) -> bytes | None:
    """Return the token in a file, without blanks around it; None without a file.

    Raises:
        StartError: the file cannot be read, or holds no token.
    """
    if path is None:
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"--tcp-token-file {path} cannot be read ({error}): check the file") from error
    if not token:
        raise StartError(f"--tcp-token-file {path} is empty: write the token into it")
    return token.encode()


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return what a TLS server needs; None without a certificate.

    Raises:
        StartError: the files hold no certificate with its key.
    """
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password="")  # else it asks on the terminal
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"--tcp-tls-cert {certificate} is not a PEM certificate with its key ({error}): check both files"
        ) from error
    return context
