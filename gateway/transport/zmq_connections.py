"""The connections of port 5555, as libzmq's monitor tells of them: counted, and cut beyond the limits."""

import asyncio
import logging
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable

import zmq

from gateway.settings import GatewaySettings
from gateway.telemetry.port_metrics import PortMetrics
from gateway.transport.networks import Networks
from gateway.transport.zmq_descriptors import connection_of

logger = logging.getLogger(__name__)

_EVENTS = (
    zmq.Event.ACCEPTED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
)
_EVENTS_AT_ONCE = 64
_MOST_READS = 16
_EVENT = struct.Struct("=HI")  # what happened, and to which descriptor or why
# zmq.h: a client without CURVE, or with another key for the server than its own.
_NOT_OURS = frozenset({0x11000001, 0x11000002})

_WITH_KEYS = "a connection without the right keys is refused"
_WITHOUT_KEYS = (
    "a connection is refused because it uses CURVE keys, and this gateway has none: start the gateway with "
    "--curve-keys, or the client without keys"
)

# Who a client is: its key, or its address where it has none, and its identity.
ClientKey = tuple[str, bytes]


class Connection:
    """One open connection.

    `user`, `client`: the user id of its messages, and whose they are; empty and None before the first.
    `heard`: whether a whole message has come since somebody last looked. `received`, `unread`: bytes that had
    come by then, and those since. `heard_at`, `begun_at`: when the last message was noticed, and one that is
    not complete; times of `time.monotonic`.
    """

    __slots__ = ("address", "begun_at", "client", "heard", "heard_at", "received", "unread", "user")

    def __init__(self, address: str) -> None:
        self.address = address
        self.user = ""
        self.client: ClientKey | None = None
        self.heard = False
        self.received = 0
        self.unread = 0
        self.heard_at = time.monotonic()
        self.begun_at: float | None = None


class Connections:
    """The open connections of a ROUTER socket, by their descriptors.

    `on_closed` is called with the client of a connection that has ended.
    """

    def __init__(
        self, settings: GatewaySettings, metrics: PortMetrics, on_closed: Callable[[ClientKey], None]
    ) -> None:
        self.open: dict[int, Connection] = {}
        self._settings = settings
        self._metrics = metrics
        self._on_closed = on_closed
        self._networks = Networks(settings.networks)
        self._per_address: Counter[str] = Counter()
        self._is_closing = False
        self._woken = False

    def __len__(self) -> int:
        return len(self.open)

    def attach(
        self, context: "zmq.Context[zmq.Socket[bytes]]", router: "zmq.Socket[bytes]", port: int
    ) -> None:
        """Begin to follow a socket's connections; before it listens on `port`."""
        self._loop = asyncio.get_running_loop()
        self._router = router
        self._port = port
        address = f"inproc://monitor-{id(self)}"
        router.monitor(address, _EVENTS)
        self._monitor = context.socket(zmq.PAIR)
        # Without a limit, because libzmq stands still while the monitor's queue is full.
        self._monitor.rcvhwm = 0
        self._monitor.linger = 0
        self._monitor.connect(address)
        self._loop.add_reader(self._monitor.FD, self._read)
        self._wake()

    def detach(self) -> None:
        """Follow the connections no more."""
        self._loop.remove_reader(self._monitor.FD)
        # In this order: libzmq would wait for ever for a reader that has gone.
        self._router.disable_monitor()
        self._monitor.close()

    def refuse_all(self) -> None:
        """Let nobody new in from now on, and keep those who are."""
        self._is_closing = True

    def heard(self, descriptor: int, user: str, client: ClientKey) -> None:
        """Note that a whole message came by a connection; `user`: its user id, no other connection's."""
        connection = self.open.get(descriptor)
        if connection is None or connection.user != user:
            # The descriptor has been given to a new connection, of which the monitor has told by now.
            for _ in range(_MOST_READS):
                if self._read_some():
                    break
            else:
                self._wake()
            connection = self.open.get(descriptor)
            if connection is None or connection.user not in ("", user):
                return
            connection.user, connection.client = user, client
        connection.heard = True

    def cut(self, descriptor: int, reason: str) -> None:
        """End a connection; `reason` is counted."""
        with connection_of(descriptor, self._port) as connection:
            if connection is not None:
                self._refuse(connection, reason)

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._read_again)

    def _read_again(self) -> None:
        self._woken = False
        if not self._monitor.closed:
            self._read()

    def _read(self) -> None:
        if not self._read_some():
            self._wake()

    def _read_some(self) -> bool:
        """Read what the monitor tells; return whether that was all."""
        for _ in range(_EVENTS_AT_ONCE):
            try:
                event, value = _EVENT.unpack(self._monitor.recv_multipart(zmq.NOBLOCK)[0])
            except zmq.Again:
                return True
            if event == zmq.Event.ACCEPTED:
                self._enter(value)
            elif event == zmq.Event.DISCONNECTED:
                self._leave(value)
            elif event == zmq.Event.HANDSHAKE_FAILED_NO_DETAIL:
                # It hung up in the middle: a program that speaks something else, or a client that saw first
                # that the keys do not fit.
                self._metrics.refused("handshake")
            elif value in _NOT_OURS:
                self._metrics.refused("key")
                logger.info("%s", _WITH_KEYS if self._settings.curve_keys else _WITHOUT_KEYS)
        return False

    def _enter(self, descriptor: int) -> None:
        """Count a new connection, or cut it."""
        self._leave(descriptor)
        with connection_of(descriptor, self._port) as connection:
            if connection is None:
                return
            try:
                address = connection.getpeername()[0]
            except OSError:
                return  # it has hung up since
            reason = self._refusal(address)
            if reason is None:
                self.open[descriptor] = Connection(address)
                self._per_address[address] += 1
            else:
                self._refuse(connection, reason)

    def _refusal(self, address: str) -> str | None:
        if self._is_closing:
            return "stopping"
        if not self._networks.allows(address):
            return "network"
        if len(self.open) >= self._settings.max_clients:
            return "clients"
        if self._per_address[address] >= self._settings.max_connections_per_address:
            return "connections"
        return None

    def _refuse(self, connection: socket.socket, reason: str) -> None:
        self._metrics.refused(reason)
        try:
            logger.info("a connection from %s is refused: %s", connection.getpeername()[0], reason)
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            logger.debug("a refused connection has gone by itself")

    def _leave(self, descriptor: int) -> None:
        connection = self.open.pop(descriptor, None)
        if connection is None:
            return
        self._per_address[connection.address] -= 1
        if not self._per_address[connection.address]:
            del self._per_address[connection.address]
        if connection.client is not None:
            self._on_closed(connection.client)
