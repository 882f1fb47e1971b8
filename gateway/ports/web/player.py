"""One WebSocket: each message becomes a request of its session, each reply a message."""

import asyncio
import logging
import time
from typing import Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from gateway.contexts import Context
from gateway.errors import GatewayError, RequestError, StoppingError
from gateway.ports.times import ConnectionTimes
from gateway.ports.web.arrival import Arrival
from gateway.protocol.messages import Hello, Reply, Request
from gateway.protocol.web.messages import Incoming, frame_of
from gateway.safe_text import shortened
from gateway.session.pending_request import PendingRequest
from gateway.session.session import PortService, Session
from gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

# Messages per turn, so that a read full of tiny ones leaves the event loop to others.
_AT_ONCE = 8
_CLOSE_WITHIN_S = 2.0
# The room in a close frame.
_MAX_REASON_BYTES = 123
_STOPPING = StoppingError("the gateway is stopping: connect again in a moment")


class Messages(Protocol):
    """A format: what a client's messages mean.

    Attributes:
        max_bytes: of the largest one.
    """

    max_bytes: int

    def opening(self) -> Incoming | None:
        """Return the server's first message, if it has one."""

    def receive(self, data: bytes, *, is_text: bool) -> list[Incoming]:
        """Return what a message means."""


class Player:
    """One client; its session answers in order."""

    def __init__(
        self,
        service: PortService,
        settings: GatewaySettings,
        messages: Messages,
        times: ConnectionTimes,
        arrival: Arrival,
        *,
        address: str,
        client: str,
    ) -> None:
        self._settings = settings
        self._messages = messages
        self._times = times
        self._arrival = arrival
        self._session = Session(
            service, Context(), address=address, client=client, on_progress=self._look_for_room
        )
        self._metrics = service.metrics
        self._socket = web.WebSocketResponse(
            timeout=_CLOSE_WITHIN_S, autoping=False, compress=False, max_msg_size=messages.max_bytes
        )
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._write_paused = False
        self._is_ending = False
        self._is_gone = False
        self._closing: asyncio.Task[None] | None = None

    async def play(self, request: web.BaseRequest) -> web.WebSocketResponse:
        """Shake hands, and answer messages until either side closes."""
        try:
            await self._socket.prepare(request)
            self._transport = request.transport
            await self._answer_all()
            if self._closing is not None:
                await asyncio.wait((self._closing,))
        finally:
            self.lost()
        return self._socket

    def pause(self, *, wanted: bool) -> None:
        """Take no more requests while the client does not read its replies, or go on."""
        self._write_paused = wanted
        self._look_for_room()

    def stop(self) -> None:
        """Take no more requests; close when the last reply is out."""
        self._end(_STOPPING, WSCloseCode.GOING_AWAY)

    def abandon(self) -> None:
        """Answer what still waits with an error."""
        self._session.abandon(_STOPPING)

    def lost(self) -> None:
        """Drop the requests of a client that has left."""
        self._is_gone = True
        self._session.close()
        self._room.set()

    def check_times(self, now: float) -> None:
        """End a connection whose message takes too long, or that sent no request for too long."""
        if self._is_ending or not self._has_room():
            return
        allowed_s = self._times.allowed_s(now, inside_header=False)
        if allowed_s is not None:
            late = f"the message did not arrive completely within {allowed_s:g} s: send it again"
            self._end(RequestError(late), WSCloseCode.POLICY_VIOLATION)
        elif not self._session.in_flight and (idle := self._times.idle(now)) is not None:
            self._end(idle, WSCloseCode.GOING_AWAY)

    async def _answer_all(self) -> None:
        """Answer messages until no more can come."""
        if (opening := self._messages.opening()) is not None:
            self._submit(opening, 0, time.perf_counter())
        taken = 0
        while await self._take():
            taken += 1
            if taken % _AT_ONCE == 0:
                await asyncio.sleep(0)
            while not self._has_room() and not self._is_gone:
                self._room.clear()
                await self._room.wait()
                self._arrival.waited()

    async def _take(self) -> bool:
        """Take the next message; return whether there may be another."""
        message = await self._socket.receive()
        match message.type:
            case WSMsgType.TEXT | WSMsgType.BINARY if not self._is_ending:
                began = self._arrival.whole()
                is_text = message.type is WSMsgType.TEXT
                data = message.data.encode() if is_text else message.data
                for incoming in self._messages.receive(data, is_text=is_text):
                    self._submit(incoming, len(data), began)
            case WSMsgType.PING if not self._is_ending:
                self._arrival.control(len(message.data))
                await self._socket.pong(message.data)
            case WSMsgType.PONG:
                self._arrival.control(len(message.data))
            case WSMsgType.ERROR:
                self._metrics.refused("framing")
                logger.info("%s is disconnected: %s", self._session.client, message.data)
                return False
            case WSMsgType.CLOSE | WSMsgType.CLOSING | WSMsgType.CLOSED:
                return False
        return True

    def _submit(self, incoming: Incoming, size: int, began: float) -> None:
        now = time.perf_counter()
        pending = PendingRequest(
            self._write, lambda reply: frame_of(incoming.encode(reply)), now, now - began, size
        )
        match incoming.event:
            case Request() as request:
                self._session.submit(pending, request)
            case Reply() as reply:
                self._session.answer(pending, reply)
            case Hello():
                self._session.answer(pending, Reply())  # the token came with the handshake
            case problem:
                self._session.refuse(pending, problem)

    def _has_room(self) -> bool:
        return self._session.in_flight < self._settings.max_in_flight_per_client and not self._write_paused

    def _look_for_room(self) -> None:
        if self._has_room():
            self._room.set()

    def _write(self, frame: bytes) -> None:
        if self._transport is None or self._transport.is_closing() or self._socket.closed:
            return
        self._times.active = time.perf_counter()
        self._transport.write(frame)

    def _end(self, why: GatewayError, code: int) -> None:
        """Take no more requests, and close with a reason when all is answered."""
        if not self._is_ending:
            self._is_ending = True
            reason = shortened(str(why), _MAX_REASON_BYTES - 3).encode()[:_MAX_REASON_BYTES]
            self._closing = asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: bytes) -> None:
        await self._session.drain()
        if self._socket.prepared:
            await self._socket.close(code=code, message=reason)
