"""One connection of port 5555: bytes to messages, and each reply as one write; the rules are `zmtp`'s."""

import asyncio
import enum
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from gateway.ports.sockets import end_by_reset, set_up
from gateway.ports.times import ConnectionTimes, Reading
from gateway.ports.zmq.clients import Clients, Registry
from gateway.ports.zmq.turns import Turns
from gateway.protocol.zmq.zmtp.errors import PeerError, StrangerError
from gateway.protocol.zmq.zmtp.stream import ZmtpStream

logger = logging.getLogger(__name__)

# It receives handshakes and small requests; the rest of a large one goes to its own buffer.
_SCRATCH_BYTES = 16 * 2**10
_KEEPALIVE = ((socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
_MAX_MILLISECONDS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Shared:
    """The values that all connections of the port share.

    Attributes:
        registry: the port's clients.
        on_refused: called for each that the gateway has ended, with its address, the metrics' word for the
            reason, and a text for the log.
        on_closed: called for each that has ended.
        scratch: one buffer for all, because the event loop finishes one read before the next.
        turns: shared by connections that sent more than is read at once.
    """

    registry: Registry
    on_refused: Callable[[str, str, str], None]
    on_closed: Callable[["ZmqConnection"], None]
    scratch: memoryview = field(default_factory=lambda: memoryview(bytearray(_SCRATCH_BYTES)))
    turns: Turns = field(default_factory=Turns)


class State(enum.IntEnum):
    """How far a connection is; it never goes back to an earlier state."""

    OPENING = enum.auto()  # its socket is being handed over
    GREETING = enum.auto()  # in the ZMTP handshake
    SILENT = enum.auto()  # it has sent no request yet
    ASKING = enum.auto()
    ENDING = enum.auto()  # takes no more requests; replies may be pending
    CLOSED = enum.auto()


class ZmqConnection(asyncio.BufferedProtocol):
    """One connection. It receives a large part's bytes straight into the request's buffer.

    Args:
        shared: the port's.
        address: the client's.
        peer: the client's address with its port.
        stream: its parser.
    """

    transport: asyncio.Transport

    def __init__(self, shared: Shared, address: str, peer: str, stream: ZmtpStream) -> None:
        self.address = address
        self.peer = peer
        self.stream = stream
        self.clients = Clients(shared.registry, address, peer, self._reply)
        self.closed = asyncio.Event()
        self._shared = shared
        self._settings = shared.registry.settings
        self._state = State.OPENING
        self._into_body = False
        self._pump_is_due = False
        self._write_paused = False
        self._refusal: tuple[str, str] | None = None
        self._times = ConnectionTimes(self._settings)

    @property
    def is_open(self) -> bool:
        """Whether its socket is at work."""
        return State.OPENING < self._state < State.CLOSED

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket's options, and greet."""
        self.transport = cast(asyncio.Transport, transport)
        connected = transport.get_extra_info("socket")
        set_up(connected)
        self._reading = Reading(self.transport, self._times)
        # `check_times` ends a client that reads nothing.
        for option, value in _KEEPALIVE:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
        take_ms = min(max(1, round(1000 * self._settings.take_timeout_s)), _MAX_MILLISECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, take_ms)
        self._state = State.GREETING
        self._send_own()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the client's requests: nobody waits for their replies."""
        if self._refusal is not None:
            self._shared.on_refused(self.address, *self._refusal)
        elif self._state is State.GREETING:
            # A load balancer's check, or a client that noticed the wrong keys itself: do not log it.
            self._shared.registry.service.metrics.refused("handshake")
        self._state = State.CLOSED
        self._shared.on_closed(self)
        self.closed.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next bytes: the arriving part's, else the shared scratch."""
        body = None if self._state >= State.ENDING else self.stream.body_buffer()
        self._into_body = body is not None
        return self._shared.scratch if body is None else body

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes."""
        if self._state >= State.ENDING:
            return
        if self._into_body:
            self.stream.body_received(nbytes)
        else:
            self.stream.receive(self._shared.scratch[:nbytes])
        if not self._pump_is_due:
            self._pump()

    def eof_received(self) -> bool:
        """Close, because a ZeroMQ socket that sends no more reads no replies either."""
        return False

    def pause_writing(self) -> None:
        """Take no more requests from a client that does not read its replies."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Go on, because the client reads again."""
        self._write_paused = False
        self._pump_later()

    def refuse(self, reason: str, why: str) -> None:
        """End the connection; `reason` is the metrics' word, `why` is for the log."""
        self._refuse(reason, why)
        self.transport.abort()

    def _refuse(self, reason: str, why: str) -> None:
        # It is counted when the connection has ended, maybe a moment later.
        if self._state < State.ENDING:
            self._state = State.ENDING
            self._refusal = (reason, why)

    @property
    def held_bytes(self) -> int:
        """Bytes of the message that is arriving."""
        return self.stream.held_bytes

    def cut(self) -> None:
        """End the connection, because its unfinished message holds most of the memory."""
        logger.warning("%s is disconnected: unfinished messages take too much memory", self.peer)
        self.refuse("memory", f"it holds {self.held_bytes} bytes of a message")

    def close(self) -> None:
        """End the connection when all replies are out."""
        self._state = State.ENDING
        self.transport.close()

    def check_times(self, now: float) -> None:
        """End a connection that is too slow, was silent too long, or does not read its replies."""
        settings, times = self._settings, self._times
        if times.is_stuck(self.transport.get_write_buffer_size(), now):
            self.refuse("slow_reader", "it does not read its replies")
        elif self._state in (State.GREETING, State.ENDING):
            if now - times.opened > settings.header_timeout_s:
                self.refuse("handshake", f"it did not shake hands within {settings.header_timeout_s:g} s")
        elif times.began is not None:
            if now - times.began > settings.request_timeout_s and not self._reading.is_paused:
                allowed = f"{settings.request_timeout_s:g} s"
                self.refuse("slow_sender", f"a message did not arrive completely within {allowed}")
        elif self.clients.waiting:
            return
        elif now - times.active > settings.idle_timeout_s:
            self.refuse("idle", f"it was silent for {settings.idle_timeout_s:g} s")
        elif self._state is State.SILENT and now - times.opened > settings.first_request_timeout_s:
            self.refuse("idle", f"it sent no request in its first {settings.first_request_timeout_s:g} s")

    def _pump(self) -> None:
        """Take one of the messages that have come."""
        if self._state >= State.ENDING:
            return
        try:
            message = None if self._write_paused else self.stream.next_message()
        except PeerError as problem:
            self._send_own()
            self._refuse_peer(problem)
            return
        self._send_own()
        if self._state is State.GREETING and self.stream.mechanism.is_ready:
            self._state = State.SILENT
            self.clients.introduce(self.stream.mechanism)
        if message is not None:
            self._state = State.ASKING
            self._times.active = time.perf_counter()
            self._times.began = None
            self.clients.take(message)
        self._note_message()
        # The others take turns with those of other connections.
        busy = self._write_paused or not self.stream.is_starved
        self._reading.pause(wanted=busy)
        if busy:
            self._pump_later()

    def _note_message(self) -> None:
        """Note whether a message has begun, which starts its time limit."""
        if not self.stream.inside_message:
            self._times.began = None
        elif self._times.began is None:
            self._times.began = time.perf_counter()

    def _pump_later(self) -> None:
        if not self._pump_is_due and not self._write_paused:
            self._pump_is_due = True
            self._shared.turns.wait(self._pump_again)

    def _pump_again(self) -> None:
        self._pump_is_due = False
        self._pump()

    def _refuse_peer(self, problem: PeerError) -> None:
        self._refuse(problem.reason, str(problem))
        if problem.is_told and not self.transport.is_closing():
            self.transport.write(self.stream.refusal())
            self.transport.close()
            return
        if isinstance(problem, StrangerError) and not self.transport.is_closing():
            # By a reset: EmuHawk, at the wrong port, takes any other end for silence and asks forever.
            end_by_reset(self.transport.get_extra_info("socket"), wanted=True)
        self.transport.abort()

    def _send_own(self) -> None:
        data = self.stream.outgoing()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def _reply(self, parts: list[bytes]) -> None:
        if not self.transport.is_closing():
            self._times.active = time.perf_counter()
            self.transport.write(self.stream.encode(parts))
