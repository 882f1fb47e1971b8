"""One TCP connection of the web port: HTTP until it becomes a WebSocket, and the time limits of both."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import cast

from gateway.ports.connection_server import ServedConnection
from gateway.ports.http_requests import MAX_REQUEST_BYTES
from gateway.ports.open_connections import Refusal
from gateway.ports.sockets import set_up
from gateway.ports.times import ConnectionTimes
from gateway.ports.web.arrival import Arrival
from gateway.ports.web.player import Player
from gateway.settings import GatewaySettings
from gateway.telemetry.port_metrics import PortMetrics

logger = logging.getLogger(__name__)


class WebConnection(ServedConnection, asyncio.Protocol):
    """Passes everything on to a handler, and checks the time limits.

    Args:
        handler: speaks HTTP and WebSocket.
        settings: the gateway's.
        metrics: the port's.
        address: the client's.
        port: the client's.
        refusal: why the client may not use the gateway; the answer to its first request.
        on_closed: called at its end.

    Attributes:
        player: the client that plays over it, once it is a WebSocket.
    """

    def __init__(
        self,
        handler: asyncio.Protocol,
        settings: GatewaySettings,
        metrics: PortMetrics,
        address: str,
        port: int,
        refusal: Refusal | None,
        on_closed: Callable[["WebConnection"], None],
    ) -> None:
        self.closed = asyncio.Event()
        self.handler = handler
        self.address = address
        self.port = port
        self.refusal = refusal
        self.player: Player | None = None
        self.times = ConnectionTimes(settings)
        self.arrival = Arrival(self.times)
        self._is_open = False
        self._settings = settings
        self._metrics = metrics
        self._on_closed = on_closed
        # Since when it waits for a complete request; None while it answers one.
        self._waits_since: float | None = time.perf_counter()

    @property
    def is_open(self) -> bool:
        """Whether the client's handshake is over and it has not left."""
        return self._is_open

    @property
    def held_bytes(self) -> int:
        """Bytes of the message that is arriving."""
        return self.arrival.held_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket's options, and begin."""
        self.transport = cast(asyncio.Transport, transport)
        self._is_open = True
        self._waits_since = time.perf_counter()
        set_up(transport.get_extra_info("socket"))
        self.handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Note that a request or message arrives, and pass its bytes on."""
        self.arrival.received(len(data))
        if self.player is None and self.held_bytes > MAX_REQUEST_BYTES:
            self._metrics.refused("framing")
            self.transport.abort()
            return
        self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on that the client sends no more."""
        return self.handler.eof_received()

    def pause_writing(self) -> None:
        """Take no more requests from a client that does not read its replies."""
        self.handler.pause_writing()
        if self.player is not None:
            self.player.pause(wanted=True)

    def resume_writing(self) -> None:
        """Go on, because the client reads again."""
        self.handler.resume_writing()
        if self.player is not None:
            self.player.pause(wanted=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the client's requests: nobody waits for their replies."""
        self._is_open = False
        self.handler.connection_lost(exc)
        if self.player is not None:
            self.player.lost()
        self._on_closed(self)
        self.closed.set()

    def request_came(self) -> None:
        """Note that a complete HTTP request has come, which is answered now."""
        self._waits_since = None
        self.arrival.whole()

    def request_answered(self) -> None:
        """Note that the next request may come."""
        self._waits_since = time.perf_counter()

    def stop(self) -> None:
        """Take no more requests; close when the last reply is out."""
        if self.player is not None:
            self.player.stop()
        else:
            self.transport.abort()

    def abandon(self) -> None:
        """Answer what still waits with an error, and close."""
        if self.player is not None:
            self.player.abandon()

    def cut(self) -> None:
        """End the connection, because its unfinished message holds most of the memory."""
        logger.warning("%s is disconnected: unfinished messages take too much memory", self.address)
        self._metrics.refused("memory")
        self.transport.abort()

    def check_times(self, now: float) -> None:
        """End a connection that is too slow, was silent too long, or does not read its replies."""
        if self.times.is_stuck(self.transport.get_write_buffer_size(), now):
            logger.info("%s:%d does not read its replies: disconnected", self.address, self.port)
            self._metrics.refused("slow_reader")
            self.transport.abort()
        elif self.player is not None:
            self.player.check_times(now)
        elif self._waits_since is not None and now - self._waits_since > self._settings.header_timeout_s:
            (self.transport.abort if self.held_bytes else self.transport.close)()
