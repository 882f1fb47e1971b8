"""One connection of port 5556: bytes to its dialect, requests to its session, each reply as one write."""

import asyncio
import contextlib
import hmac
import logging
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, cast

from gateway.contexts import FrameContext
from gateway.errors import (
    AccessError,
    ForeignError,
    FramingError,
    GatewayError,
    StoppingError,
)
from gateway.ports.times import ConnectionTimes
from gateway.protocol.messages import Event, Hello, ImageFile, RawFrame, Reply, Request
from gateway.protocol.tcp.bizhawk_stream import BizHawkStream
from gateway.protocol.tcp.json_stream import encode_reply
from gateway.protocol.tcp.streams import Dialect, stream_for
from gateway.session.pending_request import PendingRequest
from gateway.session.session import Session

if TYPE_CHECKING:
    from gateway.ports.tcp.server import TcpServer

logger = logging.getLogger(__name__)

# How long a connection that ends with an error is still read, lest unread bytes destroy the error's way out.
_DISCARD_S = 2.0
_DISCARD_WHEN_STOPPING_S = 0.3
# EmuHawk stands still meanwhile.
_DISCARD_BIZHAWK_S = 0.5

# Requests that are taken in one go, so that a read full of tiny ones leaves the event loop to others.
_REQUESTS_AT_ONCE = 8

Incoming = Event | GatewayError

STOPPING = StoppingError("the gateway is stopping: connect again in a moment")
_NO_TOKEN = AccessError(
    'this port wants a token: send {"type": "hello", "token": "..."} first; its operator has the token'
)


class TcpConnection(asyncio.BufferedProtocol):
    """One connection. An image's bytes are received straight into the buffer that its request then holds.

    `address`: the client's, when the server has counted the connection already (TLS), else "". A refused
    client is told why with the first thing that it sends.
    """

    transport: asyncio.Transport

    def __init__(self, server: "TcpServer", address: str = "") -> None:
        self.closed = asyncio.Event()
        self.is_open = False
        self.is_authorised = False
        self.address = address
        self._server = server
        self._settings = server.settings
        self._loop = asyncio.get_running_loop()
        self._stream: Dialect | None = None
        self._body: memoryview | None = None
        self._refusal: AccessError | None = None
        self._needs_token = server.token is not None
        # Requests that arrived in one read but exceed what may be in flight, with their times of arrival.
        self._backlog: deque[tuple[Incoming, float, float]] = deque()
        self._pumping = False
        self._pump_is_due = False
        self._read_paused = False
        self._write_paused = False
        # No request is taken any more; the connection closes when the last reply is out.
        self._ending = False
        self._eof = False
        self._finished = False
        self._discard_s = _DISCARD_S
        self._times = ConnectionTimes(server.settings)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket's options, and register the connection or note why it is refused."""
        self.transport = cast(asyncio.Transport, transport)
        connected = transport.get_extra_info("socket")
        # A reply leaves as one segment, at once; a client that vanished is noticed.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        # A client that has hung up already has no address any more.
        address, port = (transport.get_extra_info("peername") or ("unknown", 0))[:2]
        self._session = Session(
            self._server.service,
            FrameContext(),
            address=address,
            client=f"{address}:{port}",
            on_progress=self._pump,
        )
        self.is_open = True
        self._times.opened = time.perf_counter()
        # Nothing is on its way yet that a reset could destroy, and who is silent may be EmuHawk.
        self._end_by_reset(wanted=True)
        if not self.address:
            self.address = address
            self._refusal = self._server.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the client's requests: nobody waits for them."""
        self.is_open = False
        self._ending = self._finished = True
        self._backlog.clear()
        self._session.close()
        self._server.leave(self)
        self.closed.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go: into the image that is arriving, else into the shared scratch."""
        self._body = None if self._stream is None or self._ending else self._stream.body_buffer()
        return self._server.scratch if self._body is None else self._body

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes; those after the end of the requests are discarded."""
        if self._ending:
            return
        now = self._times.active = time.perf_counter()
        if self._times.began is None:
            self._times.began = now
        try:
            if self._body is not None and self._stream is not None:
                self._body = None
                events = self._stream.body_received(nbytes)
            else:
                events = self._received(self._server.scratch[:nbytes])
        except Exception:
            logger.exception("the dialect failed in a way that was not foreseen")
            events = [FramingError("internal error")]
        if events:
            self._take(events, now)

    def _received(self, data: memoryview) -> list[Event]:
        if self._stream is None:
            settings = self._settings
            self._stream = stream_for(
                data[0],
                max_header_bytes=settings.max_header_bytes,
                max_header_depth=settings.max_header_depth,
                max_image_bytes=settings.max_image_bytes,
            )
            self._end_by_reset(wanted=isinstance(self._stream, BizHawkStream))
        if self._refusal is not None:
            return [self._refusal]
        events = self._stream.receive(data)
        if self._needs_token and not events and self._stream.inside_image:
            # An image before the token: nothing of it is kept.
            return [_NO_TOKEN]
        return events

    def _take(self, events: list[Event], now: float) -> None:
        began = now if self._times.began is None else self._times.began
        for event in events:
            self._backlog.append((event, now, now - began))
            began = now
        assert self._stream is not None  # noqa: S101 - for the type checker
        self._times.began = now if self._stream.inside_request else None
        self._pump()

    def eof_received(self) -> bool:
        """Note that the client has sent all it will; True keeps the connection for the replies."""
        self._eof = True
        # What is on its way is to arrive, and a client that ends first does not ask for ever.
        self._end_by_reset(wanted=False)
        if self._finished:
            self.transport.close()
        elif not self._ending:
            problem = None if self._stream is None else self._stream.receive_eof()
            if problem is not None:
                self._refuse(problem)
            self._end()
        # TLS has no half that stays open.
        return self.transport.can_write_eof()

    def pause_writing(self) -> None:
        """Take no more requests from a client that does not read its replies."""
        self._write_paused = True
        self._pump()

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        self._write_paused = False
        self._pump()

    def stop(self) -> None:
        """Take no more requests; tell an idle client, and close when the last reply is out."""
        if not self._ending:
            if not self._backlog and not self._session.in_flight:
                self._refuse(STOPPING)
            self._discard_s = _DISCARD_WHEN_STOPPING_S
            self._end()

    def abandon(self) -> None:
        """Answer what still waits with an error, and close."""
        if self._finished:
            return
        # Else each reply that goes out would move more of the backlog into the session.
        self._pumping = True
        self._session.abandon(STOPPING)
        for _ in range(len(self._backlog)):
            self._session.refuse(PendingRequest(self._write, self._encode), STOPPING)
        self._backlog.clear()
        self._pumping = False
        self._pump()

    def check_times(self, now: float) -> None:
        """End a connection that is too slow, silent for too long, or does not take its replies."""
        if self._times.is_stuck(self.transport.get_write_buffer_size(), now):
            logger.info("%s does not take its replies: dropped", self._session.client)
            self._server.metrics.refused("slow_reader")
            self.abort()
        elif self._ending:
            return
        elif self._refusal is not None and self._times.is_silent(now):
            self.abort()
        elif self._stream is not None and self._times.began is not None and not self._read_paused:
            allowed_s = self._times.allowed_s(now, inside_header=self._stream.inside_header)
            self._end_with(None if allowed_s is None else self._stream.late(allowed_s))
        elif not self._session.in_flight and (idle := self._times.idle(now)) is not None:
            self._end_with(idle)
        elif self._needs_token and self._times.is_overdue(now):
            self._end_with(_NO_TOKEN)

    def _end_with(self, problem: GatewayError | None) -> None:
        if problem is not None:
            self._refuse(problem)
            self._end()

    def _encode(self, reply: Reply) -> bytes:
        return encode_reply(reply) if self._stream is None else self._stream.encode(reply)

    def _refuse(self, problem: GatewayError) -> None:
        self._backlog.append((problem, time.perf_counter(), 0.0))

    def _end(self) -> None:
        self._ending = True
        self._pump()

    def _pump(self) -> None:
        """Move requests from the backlog into the session as far as the limits allow."""
        if self._pumping or self._finished:
            return
        self._pumping = True
        limit = self._settings.max_in_flight_per_client
        taken = 0
        while (
            self._backlog
            and self._session.in_flight < limit
            and not self._write_paused
            and taken < _REQUESTS_AT_ONCE
        ):
            taken += 1
            incoming, arrival, receive_s = self._backlog.popleft()
            if isinstance(incoming, ForeignError):
                self._server.tell_of_stranger(self.address, incoming)
            elif self._needs_token or isinstance(incoming, Hello):
                incoming = self._admit(incoming)
            if isinstance(incoming, FramingError | AccessError):
                self._ending = True
                self._backlog.clear()
            pending = PendingRequest(self._write, self._encode, arrival, receive_s, _size(incoming))
            match incoming:
                case Request():
                    self._session.submit(pending, incoming)
                case Reply():
                    self._session.answer(pending, incoming)
                case _:
                    self._session.refuse(pending, incoming)
        self._pumping = False
        if taken == _REQUESTS_AT_ONCE and self._backlog and not self._pump_is_due:
            self._pump_is_due = True
            self._loop.call_soon(self._pump_again)
        busy = bool(self._backlog) or self._session.in_flight >= limit or self._write_paused
        if self._ending and not self._backlog and not self._session.in_flight:
            self._finish()
        elif busy != self._read_paused and not self._ending:
            self._read_paused = busy
            if self._times.began is not None:
                # The time in which the gateway does not read is not the client's.
                self._times.began = time.perf_counter()
            (self.transport.pause_reading if busy else self.transport.resume_reading)()

    def _pump_again(self) -> None:
        self._pump_is_due = False
        self._pump()

    def _admit(self, incoming: Incoming) -> Request | Reply | GatewayError:
        """Check a hello's token; what comes before it, where one is needed, is refused."""
        if isinstance(incoming, Hello):
            token = self._server.token
            # Halves of surrogate pairs are no UTF-8, and JSON can bring them.
            given = incoming.token.encode("utf-8", "surrogatepass")
            if token is not None and not hmac.compare_digest(given, token):
                self._server.metrics.refused("token")
                return AccessError("the token is wrong: ask the gateway's operator for the right one")
            if token is not None:
                self._needs_token = False
                self.is_authorised = True
                self._session.metrics = self._server.authorised_metrics
            return Reply()
        if not isinstance(incoming, AccessError):
            self._server.metrics.refused("token")
            return _NO_TOKEN
        return incoming

    def _finish(self) -> None:
        """Close, after all replies; what an erring client still sends is read and thrown away first."""
        self._finished = True
        if isinstance(self._stream, BizHawkStream):
            self._discard_s = min(self._discard_s, _DISCARD_BIZHAWK_S)
        else:
            self._end_by_reset(wanted=False)
        if self._read_paused and not self._eof:
            self.transport.resume_reading()
        if self._eof or self.transport.is_closing():
            self.transport.close()
        elif not isinstance(self._stream, BizHawkStream) and self.transport.can_write_eof():
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        self._loop.call_later(self._discard_s, self.abort)

    def abort(self) -> None:
        """Close the connection now, whatever is on its way."""
        self.transport.abort()

    def _end_by_reset(self, *, wanted: bool) -> None:
        """Choose whether a reset ends the connection, also when the kernel ends it for a killed gateway.

        EmuHawk takes the end of a stream for silence and asks for ever; a reset it understands.
        """
        if self.is_open and not self.transport.is_closing():
            connected = self.transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", wanted, 0))

    def _write(self, reply: bytes) -> None:
        self._times.active = time.perf_counter()
        self.transport.write(reply)

    @property
    def held_bytes(self) -> int:
        """Bytes of the image that is arriving."""
        return 0 if self._stream is None else self._stream.held_bytes


def _size(incoming: object) -> int:
    """Return the bytes of a request's image."""
    image = incoming.image if isinstance(incoming, Request) else None
    return len(image.data) if isinstance(image, RawFrame | ImageFile) else 0
