"""One connection of port 5555: bytes to messages, and each reply as one write; the rules are `zmtp`'s."""

import asyncio
import logging
import socket
import struct
import time
from typing import TYPE_CHECKING, cast

from gateway.ports.times import ConnectionTimes
from gateway.protocol.zmq.zmtp.errors import PeerError, StrangerError
from gateway.protocol.zmq.zmtp.stream import ZmtpStream
from gateway.session.session import Session

if TYPE_CHECKING:
    from gateway.ports.zmq.server import ZmqServer

logger = logging.getLogger(__name__)

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
_MOST_MILLISECONDS = 2**31 - 1

# Who a client is: its key, or its address where it has none, and its identity.
ClientKey = tuple[str, bytes]


class ZmqConnection(asyncio.BufferedProtocol):
    """One connection. A large part's bytes are received straight into the buffer that its request then holds.

    `address`, `peer`: the client's, without and with its port. `key`: whose frame contexts are used;
    `has_name`: whether by an identity, which no other connection has. `sessions`: the clients with requests
    in flight, by the names that brokers gave them. `waiting`: requests of all of them that wait for a reply.
    """

    transport: asyncio.Transport

    def __init__(self, server: "ZmqServer", address: str, peer: str, stream: ZmtpStream) -> None:
        self.address = address
        self.peer = peer
        # What is nameless cannot come back, and its port is its own as long as it is here.
        self.key: ClientKey = (peer, b"")
        self.has_name = False
        self.sessions: dict[tuple[bytes, ...], Session] = {}
        self.waiting = 0
        self.stream = stream
        self.is_open = False
        self.closed = asyncio.Event()
        self._server = server
        self._settings = server.settings
        self._into_body = False
        self._is_introduced = False
        self._has_spoken = False
        self._pump_is_due = False
        self._read_paused = False
        self._write_paused = False
        self._ending = False
        self._refusal: tuple[str, str] | None = None
        self._times = ConnectionTimes(server.settings)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket's options, and greet."""
        self.transport = cast(asyncio.Transport, transport)
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Who vanished without a word is noticed, and who takes no bytes is dropped.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
        take_ms = min(max(1, round(1000 * self._settings.take_timeout_s)), _MOST_MILLISECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, take_ms)
        self.is_open = True
        self._send_own()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the client's requests: nobody waits for them."""
        if self._refusal is not None:
            self._server.refused(self.address, *self._refusal)
        elif not (self._is_introduced or self._ending):
            # A load balancer's check, or a client that saw first that the keys do not fit: not worth a line.
            self._server.metrics.refused("handshake")
        self._ending = True
        self.is_open = False
        self._server.leave(self)
        self.closed.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go: into the part that is arriving, else into the shared scratch."""
        body = None if self._ending else self.stream.body_buffer()
        self._into_body = body is not None
        return self._server.scratch if body is None else body

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes."""
        if self._ending:
            return
        if self._into_body:
            self.stream.body_received(nbytes)
        else:
            self.stream.receive(self._server.scratch[:nbytes])
        if not self._pump_is_due:
            self._pump()

    def eof_received(self) -> bool:
        """Close: a ZeroMQ socket that has sent all it will takes no replies either."""
        return False

    def pause_writing(self) -> None:
        """Take no more requests from a client that does not read its replies."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        self._write_paused = False
        self._pump_later()

    def reply(self, back: list[bytes], reply: bytes) -> None:
        """Send a reply behind its envelope, unless the connection has ended."""
        self.waiting -= 1
        if not self.transport.is_closing():
            self._times.active = time.perf_counter()
            self.transport.write(self.stream.encode([*back, reply]))

    def forget_idle(self, sender: tuple[bytes, ...]) -> None:
        """Forget a client's session when it has nothing in flight."""
        session = self.sessions.get(sender)
        if session is not None and session.in_flight == 0:
            del self.sessions[sender]

    def refuse(self, reason: str, why: str) -> None:
        """End the connection; `reason` is the metrics' word, `why` stands in the log."""
        self._refuse(reason, why)
        self.transport.abort()

    def _refuse(self, reason: str, why: str) -> None:
        # Counted when the connection has ended, which may be a moment later.
        if not self._ending:
            self._ending = True
            self._refusal = (reason, why)

    @property
    def held_bytes(self) -> int:
        """Bytes of the message that is arriving."""
        return self.stream.held_bytes

    def cut(self) -> None:
        """End the connection, whose unfinished message holds most of the memory."""
        logger.warning("%s is cut: unfinished messages take too much memory", self.peer)
        self.refuse("memory", f"it holds {self.held_bytes} bytes of a message")

    def close(self) -> None:
        """End the connection when all replies are out."""
        self._ending = True
        self.transport.close()

    def check_times(self, now: float) -> None:
        """End a connection that is too slow, silent for too long, or does not take its replies."""
        settings, times = self._settings, self._times
        if times.is_stuck(self.transport.get_write_buffer_size(), now):
            self.refuse("slow_reader", "it does not take its replies")
        elif not self._is_introduced:
            if now - times.opened > settings.header_timeout_s:
                self.refuse("handshake", f"it did not shake hands within {settings.header_timeout_s:g} s")
        elif times.began is not None:
            if now - times.began > settings.request_timeout_s and not self._read_paused:
                allowed = f"{settings.request_timeout_s:g} s"
                self.refuse("slow_sender", f"a message did not arrive completely within {allowed}")
        elif self.waiting:
            return
        elif now - times.active > settings.idle_timeout_s:
            self.refuse("idle", f"it was silent for {settings.idle_timeout_s:g} s")
        elif not self._has_spoken and now - times.opened > settings.first_request_timeout_s:
            self.refuse("idle", f"it asked nothing in its first {settings.first_request_timeout_s:g} s")

    def _pump(self) -> None:
        """Take one message of those that have come."""
        if self._ending:
            return
        try:
            message = None if self._write_paused else self.stream.next_message()
        except PeerError as problem:
            self._send_own()
            self._refuse_peer(problem)
            return
        self._send_own()
        if not self._is_introduced and self.stream.mechanism.is_ready:
            self._is_introduced = True
            self._server.introduce(self)
        if message is not None:
            self._has_spoken = True
            self._times.active = time.perf_counter()
            self._times.began = None
            self._server.take(self, message)
        self._note_message()
        # What came with it takes turns with what others sent.
        busy = self._write_paused or not self.stream.is_starved
        self._pause_reading(paused=busy)
        if busy:
            self._pump_later()

    def _note_message(self) -> None:
        """Note whether a message has begun: from then on its time runs."""
        if not self.stream.inside_message:
            self._times.began = None
        elif self._times.began is None:
            self._times.began = time.perf_counter()

    def _pause_reading(self, *, paused: bool) -> None:
        if paused != self._read_paused and not self.transport.is_closing():
            self._read_paused = paused
            (self.transport.pause_reading if paused else self.transport.resume_reading)()
            if self._times.began is not None:
                # The time in which the gateway does not read is not the client's.
                self._times.began = time.perf_counter()

    def _pump_later(self) -> None:
        if not self._pump_is_due and not self._write_paused:
            self._pump_is_due = True
            self._server.turns.wait(self._pump_again)

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
            connected = self.transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", True, 0))
        self.transport.abort()

    def _send_own(self) -> None:
        data = self.stream.outgoing()
        if data and not self.transport.is_closing():
            self.transport.write(data)
