"""Port 5555: ZeroMQ clients that send msgpack or pickles; `connection` is one connection.

A reply goes to the connection that its request came from. The identity that a client chose only names its
frame context.
"""

import asyncio
import logging
import socket
import time

from gateway.contexts import ContextStore
from gateway.ports.acceptor import Acceptor
from gateway.ports.open_connections import OpenConnections, wait_until_closed
from gateway.ports.port import Services
from gateway.ports.watch import watch_connections
from gateway.ports.zmq.clients import ClientKey, Registry
from gateway.ports.zmq.connection import Shared, ZmqConnection
from gateway.ports.zmq.keys import CurveKeys
from gateway.protocol.zmq.envelope import wants_more
from gateway.protocol.zmq.zmtp.null import NullMechanism
from gateway.protocol.zmq.zmtp.stream import ZmtpStream
from gateway.telemetry.rarely import Rarely

logger = logging.getLogger(__name__)

# The memory for unfinished messages, in messages of the largest size.
_UNFINISHED_MESSAGES = 8

# How long clients are told that the gateway is stopping before their connections are closed, and how long the
# last replies may then take.
_LAST_WORDS_S = 1.0
_LINGER_S = 0.3


class ZmqServer:
    """Serves ZeroMQ clients; each has its own session and frame context, even behind a broker.

    Raises:
        StartError: the folder of CURVE keys cannot be used.
    """

    def __init__(self, services: Services) -> None:
        self.settings = settings = services.settings
        self.metrics = services.metrics.port("zmq", "authorised" if settings.curve_keys else "anonymous")
        self._rarely = Rarely()
        service = services.of_port(self.metrics, settings.zmq_deadline_s)
        curve_keys = settings.curve_keys
        self._mechanism = NullMechanism if curve_keys is None else CurveKeys(curve_keys).mechanism
        self._contexts: ContextStore[ClientKey] = ContextStore(
            settings.max_contexts,
            settings.context_idle_s,
            time.monotonic,
            settings.max_connections_per_address,
        )
        self._connections: OpenConnections[ZmqConnection] = OpenConnections(settings)
        self._names: set[ClientKey] = set()
        registry = Registry(settings, service, self._contexts, self._names)
        self._shared = Shared(registry, self._refused, self._closed)
        self.metrics.count_clients_by(lambda: len(self._connections))

    async def start(self, listener: socket.socket) -> None:
        """Begin to serve a listening socket's connections, in the running event loop."""
        settings = self.settings
        self._loop = asyncio.get_running_loop()
        self._acceptor = Acceptor(listener, self._enter, self._not_opened)
        max_bytes = _UNFINISHED_MESSAGES * settings.max_message_bytes
        self._watch = asyncio.create_task(watch_connections(self._open, settings, max_bytes))

    async def stop(self, grace_s: float) -> None:
        """Take no more requests, give those in flight `grace_s` seconds, answer the rest with an error."""
        for connection in self._connections:
            connection.clients.stop()
        await self._acceptor.close()
        told_long_enough = self._loop.time() + (_LAST_WORDS_S if grace_s and self._connections else 0)
        waiting = [one.clients for one in self._connections if one.clients.sessions]
        if waiting:
            draining = [asyncio.create_task(clients.drain()) for clients in waiting]
            await asyncio.wait(draining, timeout=grace_s)
        for clients in waiting:
            clients.abandon()
        # A REQ client waits forever for the reply to a request that meets a closed connection, so tell active
        # clients before closing.
        await asyncio.sleep(told_long_enough - self._loop.time())
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        await wait_until_closed([connection.closed for connection in connections], _LINGER_S)
        for connection in list(self._connections):
            connection.transport.abort()

    def _refused(self, address: str, reason: str, why: str = "") -> None:
        """Count and log a connection that is refused or ended; log the same address only now and then."""
        self.metrics.refused(reason)
        level = logging.INFO if self._rarely.is_due(f"{address} {reason}") else logging.DEBUG
        what = f"{reason}, {why}" if why else reason
        logger.log(level, "a connection from %s is refused: %s", address, what)

    def _open(self) -> list[ZmqConnection]:
        return [one for one in self._connections if one.is_open]

    def _enter(self, _: socket.socket, address: str, port: int) -> ZmqConnection | None:
        refusal = self._connections.refusal(address)
        if refusal is not None:
            self._refused(address, refusal.reason)
            return None
        stream = ZmtpStream(self._mechanism(), self.settings.max_message_bytes, wants_more)
        connection = ZmqConnection(self._shared, address, f"{address}:{port}", stream)
        self._connections.add(connection, address)
        return connection

    def _not_opened(self, connection: ZmqConnection, error: OSError) -> None:
        logger.info("a connection from %s could not be opened: %s", connection.address, error)
        self._closed(connection)

    def _closed(self, connection: ZmqConnection) -> None:
        self._connections.remove(connection)
        connection.clients.close()
