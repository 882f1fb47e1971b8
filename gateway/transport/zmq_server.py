"""Port 5555: a ZeroMQ ROUTER for REQ and DEALER clients that send msgpack or pickles.

The socket is driven by the event loop itself: sending never blocks, and its edge-triggered descriptor is read
until nothing is left, also after each send.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq

from gateway.contexts import ContextStore
from gateway.data_plane import DataPlane
from gateway.errors import BusyError, GatewayError, RequestError, StoppingError
from gateway.protocol.payload import PayloadFormat, format_of
from gateway.protocol.zmq_envelope import Envelope, read_envelope, wants_more
from gateway.settings import GatewaySettings
from gateway.telemetry.exchange import Exchange
from gateway.telemetry.port_metrics import PortMetrics
from gateway.transport.admission import Admission
from gateway.transport.listening import listening_socket
from gateway.transport.networks import Networks
from gateway.transport.session import Decoder, Session, SessionLimits
from gateway.transport.zmq_access import AccessControl
from gateway.transport.zmq_connections import ClientKey, Connections
from gateway.transport.zmq_keys import CurveKeys
from gateway.transport.zmq_socket import router_socket
from gateway.transport.zmq_watch import watch_connections

logger = logging.getLogger(__name__)

_MESSAGES_AT_ONCE = 8
_PARTS_SKIPPED_AT_ONCE = 1000
# Messages above this size are read beside the event loop; a frame of 256x256 is well below.
_LARGE_BYTES = 2**18
# How many refusals may wait for their turn, in multiples of the requests that a client may have in flight.
_WAITING_REFUSALS = 4
# How much incomplete messages may take of memory, in messages of the largest size.
_INCOMPLETE_MESSAGES = 8

# How long clients are told that the gateway stops, before the socket is closed.
_LAST_WORDS_S = 1.0

_STOPPING = StoppingError("the gateway is stopping: send the request again in a moment")


@dataclass(slots=True)
class _Client:
    """A client with requests in flight: a peer, or one of those whom a peer that is a broker speaks for."""

    peer: "_Peer"
    sender: tuple[bytes, ...]
    session: Session = field(init=False)


@dataclass(slots=True)
class _Peer:
    """A connection's peer by which requests are in flight.

    `user`: tells the connection. `clients`: by the names that brokers gave them. `waiting`: requests of all
    of them that wait for their reply.
    """

    identity: bytes
    user: str
    address: str
    key: ClientKey
    clients: dict[tuple[bytes, ...], _Client] = field(default_factory=dict)
    waiting: int = 0

    def close(self) -> None:
        """Drop all requests: nobody waits for their replies."""
        for client in self.clients.values():
            client.session.close()
        self.clients.clear()


class ZmqServer:
    """Serves ZeroMQ clients; each identity has its own session and frame context.

    Raises:
        StartError: the folder of CURVE keys cannot be used.
    """

    def __init__(
        self,
        plane: DataPlane,
        settings: GatewaySettings,
        metrics: PortMetrics,
        admission: Admission,
        record: Callable[[Exchange], None] | None = None,
    ) -> None:
        self._plane = plane
        self._settings = settings
        self._metrics = metrics
        self._record = record
        self._limits = SessionLimits(settings.zmq_deadline_s, settings.max_at_triton_per_client, admission)
        self._keys = None if settings.curve_keys is None else CurveKeys(settings.curve_keys)
        self._contexts: ContextStore[ClientKey] = ContextStore(
            settings.max_contexts, settings.context_idle_s, time.monotonic
        )
        self._connections = Connections(settings, metrics, self._forget_closed)
        # Only those with requests in flight; an idle one is no more than its context.
        self._peers: dict[bytes, _Peer] = {}
        self._stopping = False
        self._skipping = False
        self._woken = False
        metrics.count_clients_by(lambda: len(self._connections))

    def start(self) -> None:
        """Bind the port and begin to serve, in the running event loop.

        Raises:
            StartError: the port or the host cannot be bound.
        """
        settings = self._settings
        self._loop = asyncio.get_running_loop()
        listener = listening_socket(
            settings.host, settings.zmq_port, "--zmq-port", shared=settings.workers > 1
        )
        self.port = int(listener.getsockname()[1])
        self._context = zmq.Context()
        self._socket = router_socket(
            self._context, settings, self._keys, most_waiting=self._most_waiting_of_peer
        )
        self._access = AccessControl(self._context, Networks(settings.networks), self._keys, self._metrics)
        self._access.start()
        self._connections.attach(self._context, self._socket, self.port)
        self._socket.use_fd = listener.detach()
        self._socket.bind(f"tcp://*:{self.port}")
        self._loop.add_reader(self._socket.FD, self._receive)
        self._watcher = asyncio.create_task(
            watch_connections(
                self._connections,
                _INCOMPLETE_MESSAGES * settings.max_message_bytes,
                idle_timeout_s=settings.idle_timeout_s,
                request_timeout_s=settings.request_timeout_s,
            )
        )
        self._wake()

    async def stop(self, grace_s: float) -> None:
        """Take no more requests, give those in flight `grace_s` seconds, answer the rest with an error."""
        self._stopping = True
        # Still bound: to unbind would close the connections of those that wait for a reply.
        self._connections.refuse_all()
        told_long_enough = self._loop.time() + (_LAST_WORDS_S if grace_s and len(self._connections) else 0)
        clients = [client for peer in self._peers.values() for client in peer.clients.values()]
        if clients:
            draining = [asyncio.create_task(client.session.drain()) for client in clients]
            await asyncio.wait(draining, timeout=grace_s)
        for client in clients:
            client.session.abandon(_STOPPING)
        # A request that meets a closed socket gets no reply, and a REQ client waits for it for ever. So those
        # that play are told first.
        await asyncio.sleep(told_long_enough - self._loop.time())
        self._receive()
        self._watcher.cancel()
        self._loop.remove_reader(self._socket.FD)
        self._connections.detach()
        self._socket.close()
        self._access.stop()
        # Waits for the last replies to leave, which would hold up the loop.
        await asyncio.to_thread(self._context.term)

    @property
    def _most_waiting(self) -> int:
        """Requests of one client, refusals among them, that may wait for their reply."""
        return (1 + _WAITING_REFUSALS) * self._settings.max_in_flight_per_client

    @property
    def _most_waiting_of_peer(self) -> int:
        """As many of one connection: above one client's own only behind a broker, which has many."""
        return self._most_waiting + self._settings.max_in_flight // 2

    def _wake(self) -> None:
        """Look for messages soon, though the descriptor may not tell of them."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._receive_again)

    def _receive_again(self) -> None:
        self._woken = False
        if not self._socket.closed:
            self._receive()

    def _receive(self) -> None:
        router = self._socket
        for _ in range(_MESSAGES_AT_ONCE):
            if self._skipping and not self._skip():
                break
            try:
                # Not copied, because only so libzmq tells whose it is.
                head = router.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            parts = [router.recv(zmq.NOBLOCK)]
            while router.rcvmore and wants_more(parts):
                parts.append(router.recv(zmq.NOBLOCK))
            self._skipping = bool(router.rcvmore)
            self._take(head, parts)
        self._wake()

    def _skip(self) -> bool:
        """Drop the rest of a message that has too many parts; return whether its end was reached."""
        for _ in range(_PARTS_SKIPPED_AT_ONCE):
            self._socket.recv(zmq.NOBLOCK)
            if not self._socket.rcvmore:
                self._skipping = False
                return True
        return False

    def _take(self, head: zmq.Frame, parts: list[bytes]) -> None:
        """Hand a message to the session of the client that `head` and the envelope name."""
        peer = self._peer(head)
        is_from_req = head.get("Socket-Type") == "REQ"
        envelope = read_envelope(parts, is_whole=not self._skipping, is_from_req=is_from_req)
        client = self._client(peer, envelope.sender)
        session = client.session
        if session.in_flight >= self._most_waiting or peer.waiting >= self._most_waiting_of_peer:
            self._metrics.refused("flood")
            self._forget_idle(client)
            return
        format_ = format_of(envelope.body, takes_pickle=self._settings.pickle)
        peer.waiting += 1
        session.submit(
            self._incoming(envelope, client, format_),
            functools.partial(self._send, peer, envelope.back),
            format_.encode_reply,
            size=len(envelope.body),
            beside=envelope.problem is None and len(envelope.body) > _LARGE_BYTES,
        )

    def _peer(self, head: zmq.Frame) -> _Peer:
        """Return the peer of a message, by its first frame, which libzmq made."""
        identity, user = head.bytes, str(head.get("User-Id"))
        _, address, curve_key = user.split(" ", 2)
        key = (address if self._keys is None else curve_key, identity)
        self._connections.heard(int(head.get(zmq.SRCFD)), user, key)
        peer = self._peers.get(identity)
        if peer is not None and peer.user != user:
            # It came back by another connection; a reply to what it asked by the old one would be taken for
            # that to the next request.
            peer.close()
            peer = None
        if peer is None:
            peer = self._peers[identity] = _Peer(identity, user, address, key)
        return peer

    def _client(self, peer: _Peer, sender: tuple[bytes, ...]) -> _Client:
        client = peer.clients.get(sender)
        if client is None:
            client = peer.clients[sender] = _Client(peer, sender)
            client.session = Session(
                self._plane,
                self._contexts.get(peer.key, sender),
                self._metrics,
                self._limits,
                port="zmq",
                address=peer.address,
                client="/".join([peer.address, *(name.hex() for name in (peer.identity, *sender))]),
                on_progress=functools.partial(self._forget_idle, client),
                record=self._record,
            )
        return client

    def _incoming(
        self, envelope: Envelope, client: _Client, format_: PayloadFormat
    ) -> GatewayError | Decoder:
        settings, admitted = self._settings, client.session.admitted
        if self._stopping:
            return _STOPPING
        if admitted >= settings.max_in_flight_per_client:
            return BusyError(f"{admitted} of your requests are in flight, the most: wait for replies first")
        if admitted and client.peer.waiting > self._most_waiting:
            return BusyError(
                f"{client.peer.waiting} requests by your broker wait for their replies, and one of yours is "
                "among them: wait for it first"
            )
        if envelope.problem is not None:
            return envelope.problem
        if len(envelope.body) > settings.max_message_bytes:
            return RequestError(
                f"the message has {len(envelope.body)} bytes: send at most {settings.max_message_bytes}"
            )
        return functools.partial(format_.decode_request, envelope.body)

    def _send(self, peer: _Peer, back: list[bytes], reply: bytes) -> None:
        peer.waiting -= 1
        try:
            self._socket.send_multipart([peer.identity, *back, reply], zmq.NOBLOCK)
        except zmq.Again:
            self._metrics.refused("slow_reader")
            logger.info("a client that does not take its replies loses one")
        except zmq.ZMQError as error:
            logger.debug("a reply comes too late: %s", error)
        self._wake()

    def _forget_idle(self, client: _Client) -> None:
        peer = client.peer
        if client.session.in_flight == 0 and peer.clients.get(client.sender) is client:
            del peer.clients[client.sender]
            if not peer.clients and self._peers.get(peer.identity) is peer:
                del self._peers[peer.identity]

    def _forget_closed(self, key: ClientKey) -> None:
        """Forget the clients of a connection that has gone who, named by libzmq, cannot come back."""
        _, identity = key
        peer = self._peers.get(identity)
        if peer is not None and _is_nameless(identity):
            peer.close()
            del self._peers[identity]
        for sender in self._contexts.paths(key):
            if any(map(_is_nameless, (identity, *sender))):
                self._contexts.drop(key, sender)


def _is_nameless(identity: bytes) -> bool:
    """Whether a name is one of libzmq's making, which is given to another client some day."""
    return identity.startswith(b"\0")
