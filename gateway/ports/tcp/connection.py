"""One connection of port 5556: bytes to its stream, requests to its session, each reply as one write."""

import asyncio
import enum
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from gateway.contexts import Context
from gateway.errors import AccessError, ForeignError, FramingError, GatewayError, StoppingError
from gateway.ports.connection_server import ServedConnection
from gateway.ports.sockets import set_up
from gateway.ports.tcp.backlog import Arrived, Backlog
from gateway.ports.tcp.closing import Closing
from gateway.ports.times import ConnectionTimes, Reading
from gateway.ports.token import HELLO_FIRST, TokenGate
from gateway.protocol.json_format import reply_line
from gateway.protocol.messages import Event, Reply, Request
from gateway.protocol.tcp.bizhawk_stream import BizHawkStream
from gateway.protocol.tcp.framed_stream import FramedStream
from gateway.session.pending_request import PendingRequest
from gateway.session.session import PortService, Session
from gateway.settings import GatewaySettings
from gateway.telemetry.port_metrics import PortMetrics
from gateway.telemetry.rarely import Rarely

logger = logging.getLogger(__name__)

# It receives headers, and the first part of an image that comes with one; the rest goes to its own buffer.
_SCRATCH_BYTES = 16 * 2**10

_STOPPING = StoppingError("the gateway is stopping: connect again in a moment")


@dataclass(frozen=True, slots=True)
class Shared:
    """The values that all connections of the port share.

    Attributes:
        new_stream: returns the parser of a stream that begins with this byte.
        authorised_metrics: of clients that gave the `token`.
        on_closed: called for each that has ended.
        scratch: one buffer for all, because the event loop finishes one read before the next.
        strangers: limits the log about clients at the wrong port.
    """

    settings: GatewaySettings
    new_stream: Callable[[int], FramedStream]
    service: PortService
    authorised_metrics: PortMetrics
    token: bytes | None
    on_closed: Callable[["TcpConnection"], None]
    scratch: memoryview = field(default_factory=lambda: memoryview(bytearray(_SCRATCH_BYTES)))
    strangers: Rarely = field(default_factory=Rarely)


class State(enum.IntEnum):
    """How far a connection is; it never goes back to an earlier state."""

    OPENING = enum.auto()  # in the TLS handshake
    OPEN = enum.auto()
    ENDING = enum.auto()  # takes no more requests; replies are pending
    FINISHED = enum.auto()  # the last reply is out; what the client still sends is discarded
    CLOSED = enum.auto()


class TcpConnection(ServedConnection, asyncio.BufferedProtocol):
    """One connection. It receives an image's bytes straight into the request's buffer.

    Args:
        shared: the port's.
        address: the client's.
        port: the client's.
        refusal: the answer to the first bytes of a client that may not connect.
    """

    def __init__(self, shared: Shared, address: str, port: int, refusal: AccessError | None = None) -> None:
        self.closed = asyncio.Event()
        self.address = address
        self._shared = shared
        self._state = State.OPENING
        self._stream: FramedStream | None = None
        self._body: memoryview | None = None
        self._port = port
        self._refusal = refusal
        self._gate = TokenGate(shared.token, lambda: self._shared.service.metrics.refused("token"))
        self._backlog = Backlog(
            self._submit, self._has_room, self._turn_taken, asyncio.get_running_loop().call_soon
        )
        self._write_paused = False
        self._times = ConnectionTimes(shared.settings)

    @property
    def is_open(self) -> bool:
        """Whether the client's handshake is over and it has not left."""
        return State.OPENING < self._state < State.CLOSED

    @property
    def is_authorised(self) -> bool:
        """Whether the client has given the port's token."""
        return self._gate.is_authorised

    @property
    def held_bytes(self) -> int:
        """Bytes of the image that is arriving."""
        return 0 if self._stream is None else self._stream.held_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket's options, and begin."""
        self.transport = cast(asyncio.Transport, transport)
        set_up(transport.get_extra_info("socket"))
        self._closing = Closing(self.transport)
        self._reading = Reading(self.transport, self._times)
        self._session = Session(
            self._shared.service,
            Context(),
            address=self.address,
            client=f"{self.address}:{self._port}",
            on_progress=self._backlog.pump,
        )
        self._state = State.OPEN
        self._times.opened = time.perf_counter()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the client's requests: nobody waits for their replies."""
        self._state = State.CLOSED
        self._backlog.clear()
        self._session.close()
        self._shared.on_closed(self)
        self.closed.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next bytes: the arriving image's, else the shared scratch."""
        takes_requests = self._state is State.OPEN
        self._body = self._stream.body_buffer() if takes_requests and self._stream is not None else None
        return self._shared.scratch if self._body is None else self._body

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes; those after the last request are discarded."""
        if self._state is not State.OPEN:
            return
        now = self._times.active = time.perf_counter()
        if self._times.began is None:
            self._times.began = now
        try:
            if self._body is not None and self._stream is not None:
                self._body = None
                events = self._stream.body_received(nbytes)
            else:
                events = self._received(self._shared.scratch[:nbytes])
        except Exception:
            logger.exception("the parser failed unexpectedly")
            events = [FramingError("internal error")]
        if events:
            self._take(events, now)

    def _received(self, data: memoryview) -> list[Event]:
        if self._stream is None:
            self._stream = self._shared.new_stream(data[0])
            self._closing.client_is_known(is_bizhawk=isinstance(self._stream, BizHawkStream))
        if self._refusal is not None:
            return [self._refusal]
        events = self._stream.receive(data)
        if not self._gate.is_open and not events and self._stream.inside_image:
            # This is an image before the token: drop it.
            return [AccessError(HELLO_FIRST)]
        return events

    def _take(self, events: list[Event], now: float) -> None:
        began = now if self._times.began is None else self._times.began
        for event in events:
            self._backlog.add(Arrived(event, now, now - began))
            began = now
        self._times.began = now if self._stream is not None and self._stream.inside_request else None
        self._backlog.pump()

    def eof_received(self) -> bool:
        """Note that the client sends no more; True keeps the connection for the replies."""
        self._closing.client_ended()
        if self._state is State.FINISHED:
            self.transport.close()
        elif self._state is State.OPEN:
            self._end_with(None if self._stream is None else self._stream.receive_eof())
        # TLS cannot be half-closed.
        return self.transport.can_write_eof()

    def pause_writing(self) -> None:
        """Take no more requests from a client that does not read its replies."""
        self._write_paused = True
        self._backlog.pump()

    def resume_writing(self) -> None:
        """Go on, because the client reads again."""
        self._write_paused = False
        self._backlog.pump()

    def stop(self) -> None:
        """Take no more requests; tell an idle client, and close when the last reply is out."""
        if self._state is State.OPEN:
            is_idle = not self._backlog and not self._session.in_flight
            self._closing.hurry()
            self._end_with(_STOPPING if is_idle else None)

    def abandon(self) -> None:
        """Answer what still waits with an error, and close."""
        if self._state >= State.FINISHED:
            return
        # Else each reply would move more of the backlog into the session.
        with self._backlog.held():
            self._session.abandon(_STOPPING)
            for _ in range(self._backlog.clear()):
                self._session.refuse(PendingRequest(self._write, self._encode), _STOPPING)
        self._backlog.pump()

    def cut(self) -> None:
        """End the connection, because its unfinished image holds most of the memory."""
        logger.warning("%s is disconnected: unfinished images take too much memory", self.address)
        self._shared.service.metrics.refused("memory")
        self.transport.abort()

    def check_times(self, now: float) -> None:
        """End a connection that is too slow, was silent too long, or does not read its replies."""
        if self._times.is_stuck(self.transport.get_write_buffer_size(), now):
            logger.info("%s does not read its replies: disconnected", self._session.client)
            self._shared.service.metrics.refused("slow_reader")
            self.transport.abort()
        elif self._state is not State.OPEN:
            return
        elif self._refusal is not None and self._times.is_silent(now):
            self.transport.abort()
        elif (problem := self._lateness(now)) is not None:
            self._end_with(problem)

    def _lateness(self, now: float) -> GatewayError | None:
        """Return the error for a client that is too slow, or was silent too long; else None."""
        if self._stream is not None and self._times.began is not None and not self._reading.is_paused:
            allowed_s = self._times.allowed_s(now, inside_header=self._stream.inside_header)
            return None if allowed_s is None else self._stream.late(allowed_s)
        if not self._session.in_flight and (idle := self._times.idle(now)) is not None:
            return idle
        if not self._gate.is_open and self._times.is_overdue(now):
            return AccessError(HELLO_FIRST)
        return None

    def _end_with(self, problem: GatewayError | None) -> None:
        """Take no more requests; send the problem, if there is one, as the last reply."""
        if problem is not None:
            self._backlog.add(Arrived(problem, time.perf_counter()))
        self._state = State.ENDING
        self._backlog.pump()

    def _has_room(self) -> bool:
        most = self._shared.settings.max_in_flight_per_client
        return self._session.in_flight < most and not self._write_paused

    def _submit(self, arrived: Arrived) -> None:
        """Pass what has arrived to the session, which replies to it."""
        incoming = self._checked(arrived.event)
        if isinstance(incoming, FramingError | AccessError):
            self._state = State.ENDING
            self._backlog.clear()
        pending = PendingRequest(self._write, self._encode, arrived.arrival, arrived.receive_s, arrived.size)
        match incoming:
            case Request():
                self._session.submit(pending, incoming)
            case Reply():
                self._session.answer(pending, incoming)
            case _:
                self._session.refuse(pending, incoming)

    def _checked(self, event: Event | GatewayError) -> Request | Reply | GatewayError:
        """Return what the token gate makes of an event; log a client at the wrong port."""
        if isinstance(event, ForeignError):
            told = f"{self.address} came to the wrong port: {event}"
            if self._shared.strangers.is_due(told):
                logger.warning("%s", told)
            return event
        admitted = self._gate.admit(event)
        if self._gate.is_authorised:
            self._session.metrics = self._shared.authorised_metrics
        return admitted

    def _turn_taken(self) -> None:
        """Finish when all is answered; until then, read only while there is room for more."""
        if self._state is State.ENDING and not self._backlog and not self._session.in_flight:
            self._state = State.FINISHED
            self._closing.close(read_paused=self._reading.is_paused)
        elif self._state is State.OPEN:
            self._reading.pause(wanted=self._backlog.is_busy)

    def _encode(self, reply: Reply) -> bytes:
        return reply_line(reply) if self._stream is None else self._stream.encode(reply)

    def _write(self, reply: bytes) -> None:
        self._times.active = time.perf_counter()
        self.transport.write(reply)
