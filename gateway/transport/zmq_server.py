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
# A request has one part, or two with REQ's empty one; more are an error and are not kept.
_MOST_PARTS = 3
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
    """A client with requests in flight; `user` tells the connection by which they came."""

    identity: bytes
    user: str
    session: Session = field(init=False)


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
        # Only clients with requests in flight; an idle one is no more than its context.
        self._clients: dict[bytes, _Client] = {}
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
        self._socket = router_socket(self._context, settings, self._keys, most_waiting=self._most_waiting)
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
        clients = list(self._clients.values())
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
            while router.rcvmore and len(parts) < _MOST_PARTS:
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
        """Hand `[b"", payload]`, or the payload alone, to the session of the client that `head` names."""
        client = self._client(head)
        session = client.session
        if session.in_flight >= self._most_waiting:
            self._metrics.refused("flood")
            return
        envelope = [client.identity, b""] if len(parts) > 1 and parts[0] == b"" else [client.identity]
        payload = parts[len(envelope) - 1 :]
        format_ = format_of(payload[0], takes_pickle=self._settings.pickle)
        session.submit(
            self._incoming(payload, session.admitted, format_),
            functools.partial(self._send, envelope),
            format_.encode_reply,
            size=len(payload[0]),
            beside=len(payload) == 1 and len(payload[0]) > _LARGE_BYTES,
        )

    def _client(self, head: zmq.Frame) -> _Client:
        """Return the client of a message, by its first frame, which libzmq made."""
        identity, user = head.bytes, str(head.get("User-Id"))
        _, address, curve_key = user.split(" ", 2)
        key = (address if self._keys is None else curve_key, identity)
        self._connections.heard(int(head.get(zmq.SRCFD)), user, key)
        client = self._clients.get(identity)
        if client is not None and client.user != user:
            # It came back by another connection; a reply to what it asked by the old one would be taken for
            # that to the next request.
            client.session.close()
            client = None
        if client is None:
            client = _Client(identity, user)
            client.session = Session(
                self._plane,
                self._contexts.get(key),
                self._metrics,
                self._limits,
                port="zmq",
                address=address,
                client=f"{address}/{identity.hex()}",
                on_progress=functools.partial(self._forget_idle, client),
                record=self._record,
            )
            self._clients[identity] = client
        return client

    def _incoming(
        self, payload: list[bytes], admitted: int, format_: PayloadFormat
    ) -> GatewayError | Decoder:
        settings = self._settings
        if self._stopping:
            return _STOPPING
        if admitted >= settings.max_in_flight_per_client:
            return BusyError(f"{admitted} of your requests are in flight, the most: wait for replies first")
        if len(payload) != 1 or self._skipping:
            return RequestError("the message has several parts: send one, with the whole request")
        if len(payload[0]) > settings.max_message_bytes:
            return RequestError(
                f"the message has {len(payload[0])} bytes: send at most {settings.max_message_bytes}"
            )
        return functools.partial(format_.decode_request, payload[0])

    def _send(self, envelope: list[bytes], reply: bytes) -> None:
        try:
            self._socket.send_multipart([*envelope, reply], zmq.NOBLOCK)
        except zmq.Again:
            self._metrics.refused("slow_reader")
            logger.info("a client that does not take its replies loses one")
        except zmq.ZMQError as error:
            logger.debug("a reply comes too late: %s", error)
        self._wake()

    def _forget_idle(self, client: _Client) -> None:
        if client.session.in_flight == 0 and self._clients.get(client.identity) is client:
            del self._clients[client.identity]

    def _forget_closed(self, key: ClientKey) -> None:
        """Forget a client that has gone and, having an identity of libzmq's making, cannot come back."""
        _, identity = key
        if not identity.startswith(b"\0"):
            return
        client = self._clients.get(identity)
        if client is not None:
            client.session.close()
            self._forget_idle(client)
        self._contexts.drop(key)
