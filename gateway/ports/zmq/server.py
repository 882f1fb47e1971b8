"""Port 5555: ZeroMQ clients that send msgpack or pickles; `connection` is one of them.

A reply goes to the connection by which its request came. An identity that a client chose names its frame
context, and nothing else.
"""

import asyncio
import functools
import logging
import socket
import time

from gateway.contexts import ContextStore
from gateway.errors import BusyError, GatewayError, RequestError, StoppingError
from gateway.ports.acceptor import Acceptor
from gateway.ports.open_connections import OpenConnections
from gateway.ports.port import Services
from gateway.ports.watch import watch_connections
from gateway.ports.zmq.connection import ClientKey, ZmqConnection
from gateway.ports.zmq.keys import CurveKeys
from gateway.ports.zmq.turns import Turns
from gateway.protocol.formats.formats import format_of
from gateway.protocol.zmq.envelope import Envelope, is_nameless, is_probe, read_envelope, wants_more
from gateway.protocol.zmq.zmtp.null import NullMechanism
from gateway.protocol.zmq.zmtp.stream import Message, ZmtpStream
from gateway.session.pending_request import PendingRequest
from gateway.session.session import Session
from gateway.telemetry.rarely import Rarely

logger = logging.getLogger(__name__)

# Messages above this size are read beside the event loop; a frame of 256x256 is well below.
_LARGE_BYTES = 2**18
# How many refusals may wait for their turn, in multiples of the requests that a client may have in flight.
_WAITING_REFUSALS = 4

# How much unfinished messages may take of memory, in messages of the largest size.
_UNFINISHED_MESSAGES = 8

# Handshakes and small requests are received here; the rest of a large one in its own place.
_SCRATCH_BYTES = 16 * 2**10

# How long clients are told that the gateway stops, before their connections are closed, and how long the
# last replies may still travel then.
_LAST_WORDS_S = 1.0
_LINGER_S = 0.3

_STOPPING = StoppingError("the gateway is stopping: send the request again in a moment")


class ZmqServer:
    """Serves ZeroMQ clients; each has its own session and frame context, also behind a broker.

    Raises:
        StartError: the folder of CURVE keys cannot be used.
    """

    def __init__(self, services: Services) -> None:
        self.settings = settings = services.settings
        self.metrics = services.metrics.port("zmq", "authorised" if settings.curve_keys else "anonymous")
        # One for all: the event loop hands each read on before it begins the next.
        self.scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self.turns = Turns()
        self._rarely = Rarely()
        self._service = services.of_port(self.metrics, settings.zmq_deadline_s)
        self._keys = None if settings.curve_keys is None else CurveKeys(settings.curve_keys)
        self._contexts: ContextStore[ClientKey] = ContextStore(
            settings.max_contexts,
            settings.context_idle_s,
            time.monotonic,
            settings.max_connections_per_address,
        )
        self._connections: OpenConnections[ZmqConnection] = OpenConnections(settings)
        # The connection that has a name, for the names that are in use.
        self._named: dict[ClientKey, ZmqConnection] = {}
        self._stopping = False
        self.metrics.count_clients_by(lambda: len(self._connections))

    async def start(self, listener: socket.socket) -> None:
        """Begin to serve who connects to a socket that listens, in the running event loop."""
        settings = self.settings
        self._loop = asyncio.get_running_loop()
        self._acceptor = Acceptor(listener, self._enter, self._not_opened)
        most_bytes = _UNFINISHED_MESSAGES * settings.max_message_bytes
        self._watch = asyncio.create_task(watch_connections(self._open, settings, most_bytes))

    async def stop(self, grace_s: float) -> None:
        """Take no more requests, give those in flight `grace_s` seconds, answer the rest with an error."""
        self._stopping = True
        await self._acceptor.close()
        told_long_enough = self._loop.time() + (_LAST_WORDS_S if grace_s and self._connections else 0)
        sessions = [session for one in self._connections for session in one.sessions.values()]
        if sessions:
            draining = [asyncio.create_task(session.drain()) for session in sessions]
            await asyncio.wait(draining, timeout=grace_s)
        for session in sessions:
            session.abandon(_STOPPING)
        # A request that meets a closed connection gets no reply, and a REQ client waits for it forever. So
        # those that play are told first.
        await asyncio.sleep(told_long_enough - self._loop.time())
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        closed = [asyncio.create_task(connection.closed.wait()) for connection in connections]
        if closed:
            _, open_still = await asyncio.wait(closed, timeout=_LINGER_S)
            for waiter in open_still:
                waiter.cancel()
        for connection in list(self._connections):
            connection.transport.abort()

    def introduce(self, connection: ZmqConnection) -> None:
        """Take in a client that has shaken hands."""
        mechanism = connection.stream.mechanism
        if mechanism.peer.identity:
            who = connection.address if self._keys is None else mechanism.key.hex()
            key = (who, mechanism.peer.identity)
            if self._named.setdefault(key, connection) is connection:
                connection.key = key
                connection.has_name = True
            elif self._rarely.is_due(f"{connection.address} name"):
                logger.info(
                    "%s has a name that an open connection has: it gets frames of its own", connection.peer
                )

    def take(self, connection: ZmqConnection, message: Message) -> None:
        """Hand a message to the session of the client that the connection and the envelope name."""
        if message.is_whole and is_probe(message.parts):
            return
        envelope = read_envelope(
            message.parts,
            is_whole=message.is_whole,
            is_from_req=connection.stream.mechanism.peer.socket_type == b"REQ",
        )
        session = self._session(connection, envelope.sender)
        if session.in_flight >= self._most_waiting or connection.waiting >= self._most_waiting_of_peer:
            self.metrics.refused("flood")
            connection.forget_idle(envelope.sender)
            return
        format_ = format_of(envelope.body, takes_pickle=self.settings.pickle)
        connection.waiting += 1
        size = len(envelope.body)
        pending = PendingRequest(
            functools.partial(connection.reply, envelope.back), format_.encode_reply, size=size
        )
        problem = self._objection(connection, message, envelope, session.admitted)
        if problem is not None:
            session.refuse(pending, problem)
        else:
            decoder = functools.partial(format_.decode_request, envelope.body)
            session.decode(pending, decoder, beside=size > _LARGE_BYTES)

    def leave(self, connection: ZmqConnection) -> None:
        """Forget a connection that has ended, and what its clients still wait for."""
        self._connections.remove(connection)
        for session in connection.sessions.values():
            session.close()
        if connection.has_name:
            del self._named[connection.key]
        for sender in self._contexts.paths(connection.key):
            # Whoever chose a name may come back.
            if not connection.has_name or any(map(is_nameless, sender)):
                self._contexts.drop(connection.key, sender)

    def refused(self, address: str, reason: str, why: str = "") -> None:
        """Count and log a connection that is not taken, or is ended; whoever comes again is logged seldom."""
        self.metrics.refused(reason)
        level = logging.INFO if self._rarely.is_due(f"{address} {reason}") else logging.DEBUG
        what = f"{reason}, {why}" if why else reason
        logger.log(level, "a connection from %s is refused: %s", address, what)

    @property
    def _most_waiting(self) -> int:
        """Requests of one client, refusals among them, that may wait for their reply."""
        return (1 + _WAITING_REFUSALS) * self.settings.max_in_flight_per_client

    @property
    def _most_waiting_of_peer(self) -> int:
        """As many of one connection: above one client's own only behind a broker, which has many."""
        return self._most_waiting + self.settings.max_in_flight // 2

    def _session(self, connection: ZmqConnection, sender: tuple[bytes, ...]) -> Session:
        """Return the session of a client; only those with requests in flight have one."""
        session = connection.sessions.get(sender)
        if session is None:
            identity = connection.stream.mechanism.peer.identity
            # A client that chose no name is known by its port.
            names = [connection.address, identity.hex()] if identity else [connection.peer]
            session = connection.sessions[sender] = Session(
                self._service,
                self._contexts.get(connection.key, sender),
                address=connection.address,
                client="/".join([*names, *(name.hex() for name in sender)]),
                on_progress=functools.partial(connection.forget_idle, sender),
            )
        return session

    def _open(self) -> list[ZmqConnection]:
        return [one for one in self._connections if one.is_open]

    def _enter(self, _: socket.socket, address: str, port: int) -> ZmqConnection | None:
        refusal = self._connections.refusal(address)
        if refusal is not None:
            self.refused(address, refusal.reason)
            return None
        connection = ZmqConnection(self, address, f"{address}:{port}", self._stream())
        self._connections.add(connection, address)
        return connection

    def _not_opened(self, connection: ZmqConnection, error: OSError) -> None:
        logger.info("a connection from %s could not be opened: %s", connection.address, error)
        self.leave(connection)

    def _stream(self) -> ZmtpStream:
        mechanism = NullMechanism() if self._keys is None else self._keys.mechanism()
        return ZmtpStream(mechanism, self.settings.max_message_bytes, wants_more)

    def _objection(
        self, connection: ZmqConnection, message: Message, envelope: Envelope, admitted: int
    ) -> GatewayError | None:
        """Return why a message is not decoded, None for one that is."""
        settings = self.settings
        if self._stopping:
            return _STOPPING
        if admitted >= settings.max_in_flight_per_client:
            return BusyError(f"{admitted} of your requests are in flight, the most: wait for replies first")
        if admitted and connection.waiting > self._most_waiting:
            return BusyError(
                f"{connection.waiting} requests by your broker wait for their replies, and one of yours is "
                "among them: wait for it first"
            )
        if message.size > settings.max_message_bytes:
            return RequestError(
                f"the message has {message.size} bytes: send at most {settings.max_message_bytes}"
            )
        return envelope.problem
