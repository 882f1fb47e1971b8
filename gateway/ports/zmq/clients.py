"""The clients behind one connection of port 5555, one or a broker's: their messages go to their sessions."""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.contexts import ContextStore
from gateway.errors import BusyError, GatewayError, RequestError, StoppingError
from gateway.protocol.formats.formats import format_of
from gateway.protocol.zmq.envelope import Envelope, is_nameless, is_probe, read_envelope
from gateway.protocol.zmq.zmtp.stream import Mechanism, Message
from gateway.session.pending_request import PendingRequest
from gateway.session.session import PortService, Session
from gateway.settings import GatewaySettings
from gateway.telemetry.rarely import Rarely

logger = logging.getLogger(__name__)

# Larger messages are decoded in a thread; a frame of 256x256 is well below.
_LARGE_BYTES = 2**18
# How many refusals may wait for their turn, in multiples of a client's limit in flight.
_WAITING_REFUSALS = 4

STOPPING = StoppingError("the gateway is stopping: send the request again in a moment")

# A client's CURVE key, or its address if it has none, and its identity.
ClientKey = tuple[str, bytes]
# The names that brokers gave a client, the outermost first; empty without a broker.
Sender = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Registry:
    """The values that the clients of all connections share.

    Attributes:
        contexts: their frame contexts.
        names: those of open connections.
    """

    settings: GatewaySettings
    service: PortService
    contexts: ContextStore[ClientKey]
    names: set[ClientKey] = field(default_factory=set)
    rarely: Rarely = field(default_factory=Rarely)


class Clients:
    """Passes a connection's messages to its clients' sessions; only clients with requests in flight have one.

    Args:
        registry: the port's.
        address: the connection's.
        peer: the connection's address with its port.
        send: sends a reply with its envelope, unless the connection has ended.

    Attributes:
        waiting: the requests of all of them that wait for a reply.
    """

    def __init__(
        self, registry: Registry, address: str, peer: str, send: Callable[[list[bytes]], None]
    ) -> None:
        self.sessions: dict[Sender, Session] = {}
        self.waiting = 0
        self._registry = registry
        self._settings = settings = registry.settings
        # Limits of requests, refusals included, that wait for their reply: of one client, and of one
        # connection, which has more than one client only behind a broker.
        self._max_waiting = (1 + _WAITING_REFUSALS) * settings.max_in_flight_per_client
        self._max_waiting_of_peer = self._max_waiting + settings.max_in_flight // 2
        self._address = address
        self._peer = peer
        self._send = send
        # A client without a name cannot come back, and nobody else has its port while it is connected.
        self._key: ClientKey = (peer, b"")
        self._has_name = False
        self._is_stopping = False
        self._identity = b""
        self._is_req = False

    def introduce(self, mechanism: Mechanism) -> None:
        """Admit a peer after its handshake; it keeps its name, unless an open connection has that name."""
        self._identity = mechanism.peer.identity
        self._is_req = mechanism.peer.socket_type == b"REQ"
        if not self._identity:
            return
        key = (mechanism.key.hex() or self._address, self._identity)
        if key not in self._registry.names:
            self._registry.names.add(key)
            self._key = key
            self._has_name = True
        elif self._registry.rarely.is_due(self._address):
            logger.info("%s has the name of an open connection: it gets its own frame context", self._peer)

    def take(self, message: Message) -> None:
        """Pass a message to the session of the client that its envelope names."""
        if message.is_whole and is_probe(message.parts):
            return
        envelope = read_envelope(message.parts, is_whole=message.is_whole, is_from_req=self._is_req)
        session = self._session(envelope.sender)
        if session.in_flight >= self._max_waiting or self.waiting >= self._max_waiting_of_peer:
            self._registry.service.metrics.refused("flood")
            self._forget_idle(envelope.sender)
            return
        format_ = format_of(envelope.body, takes_pickle=self._settings.pickle)
        self.waiting += 1
        size = len(envelope.body)
        pending = PendingRequest(
            functools.partial(self._reply, envelope.back), format_.encode_reply, size=size
        )
        problem = self._objection(message, envelope, session.admitted)
        if problem is not None:
            session.refuse(pending, problem)
        else:
            decoder = functools.partial(format_.decode_request, envelope.body)
            session.decode(pending, decoder, beside=size > _LARGE_BYTES)

    def stop(self) -> None:
        """Answer later requests with an error, because the gateway is stopping."""
        self._is_stopping = True

    async def drain(self) -> None:
        """Wait until every request has its reply."""
        for session in list(self.sessions.values()):
            await session.drain()

    def abandon(self) -> None:
        """Answer whatever still waits with an error."""
        for session in list(self.sessions.values()):
            session.abandon(STOPPING)

    def close(self) -> None:
        """Forget the clients of a connection that has ended, and their requests."""
        for session in self.sessions.values():
            session.close()
        registry = self._registry
        if registry.service.live is not None:
            registry.service.live.left(registry.service.metrics.port, self._name)
        if self._has_name:
            registry.names.discard(self._key)
        for sender in registry.contexts.paths(self._key):
            # A client that chose a name may come back.
            if not self._has_name or any(map(is_nameless, sender)):
                registry.contexts.drop(self._key, sender)

    @property
    def _name(self) -> str:
        """The name in logs; a client that chose none is known by its port."""
        return f"{self._address}/{self._identity.hex()}" if self._identity else self._peer

    def _session(self, sender: Sender) -> Session:
        session = self.sessions.get(sender)
        if session is None:
            session = self.sessions[sender] = Session(
                self._registry.service,
                self._registry.contexts.get(self._key, sender),
                address=self._address,
                client="/".join([self._name, *(name.hex() for name in sender)]),
                on_progress=functools.partial(self._forget_idle, sender),
            )
        return session

    def _forget_idle(self, sender: Sender) -> None:
        session = self.sessions.get(sender)
        if session is not None and session.in_flight == 0:
            del self.sessions[sender]

    def _reply(self, back: list[bytes], reply: bytes) -> None:
        self.waiting -= 1
        self._send([*back, reply])

    def _objection(self, message: Message, envelope: Envelope, admitted: int) -> GatewayError | None:
        """Return why a message may not be decoded, or None."""
        settings = self._settings
        if self._is_stopping:
            return STOPPING
        if admitted >= settings.max_in_flight_per_client:
            return BusyError(f"{admitted} of your requests are in flight, the limit: wait for replies first")
        if admitted and self.waiting > self._max_waiting:
            return BusyError(
                f"{self.waiting} requests from your broker wait for their replies, one of yours among them: "
                "wait for it first"
            )
        if message.size > settings.max_message_bytes:
            return RequestError(
                f"the message has {message.size} bytes: send at most {settings.max_message_bytes}"
            )
        return envelope.problem
