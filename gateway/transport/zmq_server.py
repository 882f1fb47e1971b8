"""Port 5555: a ZeroMQ ROUTER for REQ and DEALER clients that send pickles.

The socket is driven by the event loop itself: sending never blocks (a ROUTER drops what a peer does not
take), and its edge-triggered descriptor is read until nothing is left, also after each send.
"""

import asyncio
import errno
import functools
import logging
import time

import zmq

from gateway.contexts import ContextStore
from gateway.data_plane import DataPlane
from gateway.errors import GatewayError, RequestError, StartError, TritonUnavailableError
from gateway.protocol.pickles.codec import decode_request, encode_reply
from gateway.settings import GatewaySettings
from gateway.telemetry.metrics import PortMetrics
from gateway.transport.session import Decoder, Session

logger = logging.getLogger(__name__)

_MESSAGES_AT_ONCE = 32
# Pickles above this size are read beside the event loop; a frame of 256x256 is well below.
_LARGE_BYTES = 2**20
# How long replies may still travel when the socket is closed.
_LINGER_MS = 300

_STOPPING = TritonUnavailableError("the gateway is stopping: send the request again in a moment")


class ZmqServer:
    """Serves ZeroMQ clients; each identity has its own session and frame context."""

    def __init__(self, plane: DataPlane, settings: GatewaySettings, metrics: PortMetrics) -> None:
        self._plane = plane
        self._settings = settings
        self._metrics = metrics
        self._contexts: ContextStore[bytes] = ContextStore(
            settings.max_contexts, settings.context_idle_s, time.monotonic
        )
        # Only clients with requests in flight; an idle one is no more than its context.
        self._sessions: dict[bytes, Session] = {}
        self._stopping = False
        self._woken = False
        metrics.count_clients_by(self._count_clients)

    def start(self) -> None:
        """Bind the port and begin to serve, in the running event loop.

        Raises:
            StartError: the port or the host cannot be bound.
        """
        settings = self._settings
        self._loop = asyncio.get_running_loop()
        self._context = zmq.Context()
        self._socket = socket = self._context.socket(zmq.ROUTER)
        socket.linger = _LINGER_MS
        # A client that comes back under its own identity takes it over from its dead connection.
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 60)
        # Messages between the two limits are answered; beyond this one libzmq drops the connection.
        socket.setsockopt(zmq.MAXMSGSIZE, 4 * settings.max_message_bytes)
        host = settings.host
        if ":" in host:
            socket.setsockopt(zmq.IPV6, 1)
            host = f"[{host}]"
        try:
            socket.bind(f"tcp://{host}:{settings.zmq_port or '*'}")
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise _cannot_bind(error, settings) from error
        self.port = int(socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        self._loop.add_reader(socket.FD, self._receive)
        self._wake()

    async def stop(self, grace_s: float) -> None:
        """Take no more requests, give those in flight `grace_s` seconds, answer the rest with an error."""
        self._stopping = True
        sessions = list(self._sessions.values())
        if sessions:
            await asyncio.wait(
                [asyncio.create_task(session.drain()) for session in sessions], timeout=grace_s
            )
        for session in sessions:
            session.abandon(_STOPPING)
        self._receive()
        self._loop.remove_reader(self._socket.FD)
        self._socket.close()
        # Waits for the last replies to leave, which would hold up the loop.
        await asyncio.to_thread(self._context.term)

    def _count_clients(self) -> float:
        self._contexts.purge()
        return len(self._contexts)

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
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._take(parts)
        self._wake()

    def _take(self, parts: list[bytes]) -> None:
        """Hand `[identity, b"", payload]`, or the same without the empty frame, to the client's session."""
        identity, *rest = parts
        envelope = [identity, b""] if len(rest) > 1 and rest[0] == b"" else [identity]
        payload = rest[len(envelope) - 1 :]
        context = self._contexts.get(identity)
        session = self._sessions.get(identity)
        if session is None:
            session = self._sessions[identity] = Session(
                self._plane,
                context,
                self._metrics,
                encode=encode_reply,
                deadline_s=self._settings.zmq_deadline_s,
                on_progress=functools.partial(self._forget_idle, identity),
            )
        session.submit(
            self._incoming(payload, session.in_flight),
            functools.partial(self._send, envelope),
            beside=len(payload) == 1 and len(payload[0]) > _LARGE_BYTES,
        )

    def _incoming(self, payload: list[bytes], in_flight: int) -> GatewayError | Decoder:
        settings = self._settings
        if self._stopping:
            return _STOPPING
        if in_flight >= settings.max_in_flight_per_client:
            return RequestError(f"{in_flight} requests are in flight, too many: wait for replies first")
        if len(payload) != 1:
            return RequestError(f"the message has {len(payload)} frames: send one, a pickled dict")
        if len(payload[0]) > settings.max_message_bytes:
            return RequestError(
                f"the message has {len(payload[0])} bytes: send at most {settings.max_message_bytes}"
            )
        return functools.partial(decode_request, payload[0])

    def _send(self, envelope: list[bytes], reply: bytes) -> None:
        try:
            self._socket.send_multipart([*envelope, reply], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            logger.warning("a reply could not be sent: %s", error)
        self._wake()

    def _forget_idle(self, identity: bytes) -> None:
        session = self._sessions.get(identity)
        if session is not None and session.in_flight == 0:
            del self._sessions[identity]


def _cannot_bind(error: zmq.ZMQError, settings: GatewaySettings) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"port {settings.zmq_port} is in use on {settings.host}: "
            "stop the program that has it, or choose another with --zmq-port"
        )
    return StartError(
        f"cannot listen on {settings.host} port {settings.zmq_port} ({error}): check --host and --zmq-port"
    )
