"""Port 5556: TCP clients that send a JSON line and image bytes; the dialect itself is `json_dialect`."""

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections import deque
from typing import cast

from gateway.contexts import FrameContext
from gateway.data_plane import DataPlane
from gateway.errors import (
    FramingError,
    GatewayError,
    RequestError,
    ServerError,
    StartError,
    TritonUnavailableError,
)
from gateway.protocol.json_dialect import JsonDialect, encode_reply
from gateway.protocol.messages import Request
from gateway.settings import GatewaySettings
from gateway.telemetry.metrics import PortMetrics
from gateway.transport.session import Session

logger = logging.getLogger(__name__)

# How long a connection that ends with an error is still read, lest unread bytes destroy the error's way out.
_DISCARD_S = 2.0
_DISCARD_WHEN_STOPPING_S = 0.3
_BACKLOG = 1024

_STOPPING = TritonUnavailableError("the gateway is stopping: connect again in a moment")


class TcpServer:
    """Serves TCP clients; each connection has its own session and frame context."""

    def __init__(self, plane: DataPlane, settings: GatewaySettings, metrics: PortMetrics) -> None:
        self.plane = plane
        self.settings = settings
        self.metrics = metrics
        self.connections: set[TcpConnection] = set()
        metrics.count_clients_by(lambda: len(self.connections))

    async def start(self) -> None:
        """Bind the port and begin to serve, in the running event loop.

        Raises:
            StartError: the port or the host cannot be bound.
        """
        settings = self.settings
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: TcpConnection(self), settings.host, settings.tcp_port, backlog=_BACKLOG
            )
        except OSError as error:
            raise cannot_bind(error, settings.host, settings.tcp_port, "--tcp-port") from error
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Take no more requests, give those in flight `grace_s` seconds, answer the rest with an error."""
        self._server.close()
        connections = list(self.connections)
        for connection in connections:
            connection.stop()
        closed = [asyncio.create_task(connection.closed.wait()) for connection in connections]
        if closed:
            await asyncio.wait(closed, timeout=grace_s)
        for connection in connections:
            connection.abandon()
        if closed:
            _, open_still = await asyncio.wait(closed, timeout=2 * _DISCARD_WHEN_STOPPING_S)
            for waiter in open_still:
                waiter.cancel()
        for connection in list(self.connections):
            connection.transport.abort()


class TcpConnection(asyncio.Protocol):
    """One connection: bytes to the dialect, its requests to the session, replies back as one write each."""

    transport: asyncio.Transport

    def __init__(self, server: TcpServer) -> None:
        settings = server.settings
        self.closed = asyncio.Event()
        self._server = server
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._dialect = JsonDialect(
            max_header_bytes=settings.max_header_bytes, max_image_bytes=settings.max_image_bytes
        )
        self._session = Session(
            server.plane,
            FrameContext(),
            server.metrics,
            encode=encode_reply,
            deadline_s=settings.tcp_deadline_s,
            on_progress=self._pump,
        )
        # Requests that arrived in one read but exceed what may be in flight, with their times of arrival.
        self._backlog: deque[tuple[Request | GatewayError, float]] = deque()
        self._pumping = False
        self._read_paused = False
        self._write_paused = False
        # No request is taken any more; the connection closes when the last reply is out.
        self._ending = False
        self._eof = False
        self._finished = False
        self._discard_s = _DISCARD_S
        self._last_active = self._loop.time()
        self._request_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket's options and register the connection."""
        self.transport = cast(asyncio.Transport, transport)
        connected = transport.get_extra_info("socket")
        # A reply leaves as one segment, at once; a client that vanished is noticed.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        self._server.connections.add(self)
        self._idle_timer = self._loop.call_later(self._settings.tcp_idle_s, self._check_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the client's requests: nobody waits for them."""
        self._ending = self._finished = True
        self._backlog.clear()
        self._session.close()
        for timer in (self._request_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._server.connections.discard(self)
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        """Take bytes; those after the end of the requests are discarded."""
        if self._ending:
            return
        self._last_active = self._loop.time()
        events: list[Request | RequestError]
        try:
            events = list(self._dialect.receive(data))
        except Exception:
            logger.exception("the dialect failed in a way that was not foreseen")
            events = [FramingError("internal error")]
        now = time.perf_counter()
        self._backlog.extend((event, now) for event in events)
        self._time_request(restart=bool(events))
        self._pump()

    def eof_received(self) -> bool:
        """Note that the client has sent all it will; True keeps the connection for the replies."""
        self._eof = True
        if self._finished:
            self.transport.close()
        elif not self._ending:
            problem = self._dialect.receive_eof()
            if problem is not None:
                self._backlog.append((problem, time.perf_counter()))
            self._end()
        return True

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
                self._refuse(_STOPPING)
            self._discard_s = _DISCARD_WHEN_STOPPING_S
            self._end()

    def abandon(self) -> None:
        """Answer what still waits with an error, and close."""
        if self._finished:
            return
        self._session.abandon(_STOPPING)
        while self._backlog:
            self._backlog.popleft()
            self._session.submit(_STOPPING, self._write)
        self._pump()

    def _refuse(self, problem: GatewayError) -> None:
        self._backlog.append((problem, time.perf_counter()))

    def _end(self) -> None:
        self._ending = True
        self._time_request(restart=False)
        self._pump()

    def _pump(self) -> None:
        """Move requests from the backlog into the session as far as the limits allow."""
        if self._pumping or self._finished:
            return
        self._pumping = True
        limit = self._settings.max_in_flight_per_client
        while self._backlog and self._session.in_flight < limit and not self._write_paused:
            incoming, arrival = self._backlog.popleft()
            if isinstance(incoming, FramingError):
                self._ending = True
                self._time_request(restart=False)
            self._session.submit(incoming, self._write, arrival=arrival)
        self._pumping = False
        busy = bool(self._backlog) or self._session.in_flight >= limit or self._write_paused
        if self._ending and not self._backlog and not self._session.in_flight:
            self._finish()
        elif busy != self._read_paused and not self._ending:
            self._read_paused = busy
            (self.transport.pause_reading if busy else self.transport.resume_reading)()

    def _finish(self) -> None:
        """Close, after all replies; what an erring client still sends is read and thrown away first."""
        self._finished = True
        if self._eof or self.transport.is_closing():
            self.transport.close()
            self._abort_later()
            return
        if self._read_paused:
            self.transport.resume_reading()
        with contextlib.suppress(OSError):
            self.transport.write_eof()
        self._abort_later()

    def _abort_later(self) -> None:
        self._request_timer = self._loop.call_later(self._discard_s, self.transport.abort)

    def _write(self, reply: bytes) -> None:
        self._last_active = self._loop.time()
        self.transport.write(reply)

    def _time_request(self, *, restart: bool) -> None:
        """Keep a timer running while a request has begun to arrive and is not complete."""
        inside = self._dialect.inside_request and not self._ending
        if self._request_timer is not None and (restart or not inside):
            self._request_timer.cancel()
            self._request_timer = None
        if inside and self._request_timer is None:
            self._request_timer = self._loop.call_later(
                self._settings.request_timeout_s, self._request_is_late
            )

    def _request_is_late(self) -> None:
        self._request_timer = None
        if self._read_paused:
            # It is the gateway that does not read.
            self._time_request(restart=True)
            return
        seconds = self._settings.request_timeout_s
        self._refuse(
            FramingError(f"the request did not arrive completely within {seconds:g} s: send it again")
        )
        self._pump()

    def _check_idle(self) -> None:
        idle_s = self._loop.time() - self._last_active
        remaining_s = self._settings.tcp_idle_s - idle_s
        if remaining_s > 0 or self._session.in_flight or self._ending:
            self._idle_timer = self._loop.call_later(max(1.0, remaining_s), self._check_idle)
            return
        self._refuse(ServerError(f"no request for {idle_s:.0f} s: the connection is closed, connect again"))
        self._end()


def cannot_bind(error: OSError, host: str, port: int, flag: str) -> StartError:
    """Return the sentence for a port that cannot be bound."""
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"port {port} is in use on {host}: stop the program that has it, or choose another with {flag}"
        )
    return StartError(f"cannot listen on {host} port {port} ({error}): check --host and {flag}")
