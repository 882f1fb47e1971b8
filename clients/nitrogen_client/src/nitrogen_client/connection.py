"""The ZeroMQ connection to a server: its options, its requests, and what its monitor tells about it.

A REQ socket that has sent a request takes nothing but the reply. When that will not come, the socket is
thrown away and a new one takes its place, so a late reply has nowhere to arrive.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from nitrogen_client.address import Address
from nitrogen_client.errors import (
    AccessRefusedError,
    ConnectionFailedError,
    ConnectionLostError,
    NitrogenError,
    ProtocolError,
    ReplyTimeoutError,
)

_A_ZEROMQ_PORT = "a ZeroMQ port (a gateway's is usually 5555; 5556 and 8080 are for others)"

# A reply has some kilobytes; an info of a large game table some more.
_MAX_REPLY_BYTES = 16 * 2**20
# A server whose machine has vanished is noticed after about a quarter of a minute.
_KEEPALIVE_IDLE_S = 5
_KEEPALIVE_INTERVAL_S = 3
_KEEPALIVE_PROBES = 3
_UNACKNOWLEDGED_MS = 15_000

_EVENTS = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


@dataclass
class _State:
    """The state of one socket.

    Attributes:
        is_waiting: a request was sent, and its reply has not come.
        was_ready: a server has shaken hands.
        was_lost: the connection ended after that.
        refusal: why the server does not admit this client.
        trouble: why connections end before they are ready.
    """

    is_waiting: bool = False
    was_ready: bool = False
    was_lost: bool = False
    refusal: str | None = None
    trouble: str | None = None


@dataclass(frozen=True)
class Wait:
    """How long a client waits: until one of the `sockets` has something to be received, `seconds` at most."""

    seconds: float
    sockets: tuple[Any, ...] = ()

    def poll(self, poller: Any) -> Any:  # noqa: ANN401 - pyzmq's of asyncio or not
        """Wait for the sockets with a poller; return what is to be awaited of asyncio's."""
        for socket in self.sockets:
            poller.register(socket, zmq.POLLIN)
        return poller.poll(round(self.seconds * 1000) + 1)


class Connection:
    """One REQ socket after another, of which the present one can be used; no waiting is done here.

    Args:
        context: makes the sockets, those of asyncio or others.
    """

    def __init__(self, address: Address, context: zmq.Context[Any]) -> None:
        self.address = address
        self._context = context
        self._socket: Any = None
        self._monitor: Any = None
        self._views: list[zmq.Socket[Any]] = []
        self._state = _State()

    def renew(self) -> bool:
        """Make a new socket unless the present one is fit for a request; return whether it is a new one.

        Raises:
            ConnectionFailedError: none can be made.
        """
        self._take_events()
        if self._socket is not None and not (self._state.is_waiting or self._state.was_lost):
            return False
        self.discard()
        self._state = _State()
        try:
            self._socket = self._context.socket(zmq.REQ)
            self._configure(self._socket)
            self._monitor = self._socket.get_monitor_socket(_EVENTS)
            # Views whose methods are not awaited, for what is done at once.
            self._views = [zmq.Socket.shadow(one.underlying) for one in (self._socket, self._monitor)]
            self._socket.connect(f"tcp://{self.address}")
        except zmq.ZMQError as error:
            self.discard()
            raise ConnectionFailedError(f"there is no connection to {self.address}: {error}") from error
        return True

    def ask(self, message: bytes, timeout_s: float, deadline: float) -> Generator[Wait, None, bytes]:
        """Send a message and return its reply; yields each wait for it.

        Args:
            message: bytes, or the parts of a message.
            timeout_s: as in `exchange`.
            deadline: as in `exchange`.

        Raises:
            ConnectionFailedError: the server was not reached, refused this client, or ended the connection.
            ReplyTimeoutError: the reply has not come in time.
            ProtocolError: the reply has several parts.
        """
        # Unless its reply comes, the socket is spent.
        self._state.is_waiting = True
        socket, _ = self._views
        try:
            socket.send(message, zmq.NOBLOCK)
        except zmq.Again:
            raise self._ended() or self._lost() from None
        while True:
            self._take_events()
            # Looked for after the events: a reply that came just before the connection's end counts.
            with contextlib.suppress(zmq.Again):
                parts = socket.recv_multipart(zmq.NOBLOCK)
                self._state.is_waiting = False
                return self._whole(parts)
            ended = self._ended()
            if ended is not None:
                raise ended
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise self._silent(timeout_s)
            yield Wait(remaining_s, (self._socket, self._monitor))

    def discard(self) -> None:
        """Close the socket, at once and with whatever is under way."""
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._monitor = None
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None

    def _take_events(self) -> None:
        """Take in what the monitor tells."""
        if self._monitor is not None:
            _, monitor = self._views
            with contextlib.suppress(zmq.Again):
                while True:
                    self._take_event(parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK))["event"])

    def _take_event(self, event: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._state.was_ready = True
        elif event == zmq.EVENT_DISCONNECTED and self._state.was_ready:
            self._state.was_lost = True
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._state.refusal = "the server does not admit this client's key or address"
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self._state.refusal = (
                "the keys do not fit: check that the server asks for keys, and whether server_key is its own"
                if self.address.keys is not None
                else f"it asks for keys (give client_key and server_key), or is not {_A_ZEROMQ_PORT}"
            )
        elif event != zmq.EVENT_CONNECTED:
            self._state.trouble = (
                f"it ends each connection at once: it is not {_A_ZEROMQ_PORT}, the keys do not fit, it does "
                "not admit this machine, or it has as many clients as it takes"
            )

    def _whole(self, parts: list[bytes]) -> bytes:
        if len(parts) != 1:
            raise ProtocolError(f"the reply has {len(parts)} parts: is {self.address} another program?")
        return parts[0]

    def _ended(self) -> ConnectionFailedError | None:
        """Return the error of a connection that has ended, so that no reply will come."""
        if self._state.refusal is not None:
            return AccessRefusedError(f"{self.address} refuses the connection: {self._state.refusal}")
        return self._lost() if self._state.was_lost else None

    def _lost(self) -> ConnectionLostError:
        return ConnectionLostError(f"the connection to {self.address} ended before the reply came")

    def _silent(self, timeout_s: float) -> NitrogenError:
        """Return the error of a server that has not replied in time."""
        if self._state.was_ready:
            return ReplyTimeoutError(
                f"no reply from {self.address} within {timeout_s:g} s: it is overloaded or stuck, or a "
                "broker without a gateway behind it; try again, or give more timeout_s"
            )
        why = self._state.trouble or (
            f"is the server running there, is the name right, and is the port open, and {_A_ZEROMQ_PORT}?"
        )
        return ConnectionFailedError(f"no connection to {self.address} within {timeout_s:g} s: {why}")

    def _configure(self, socket: Any) -> None:  # noqa: ANN401 - of asyncio or not
        keys = self.address.keys
        options: dict[int, int | bytes] = {
            zmq.LINGER: 0,
            zmq.IPV6: int(self.address.is_ipv6),
            zmq.MAXMSGSIZE: _MAX_REPLY_BYTES,
            zmq.TCP_KEEPALIVE: 1,
            zmq.TCP_KEEPALIVE_IDLE: _KEEPALIVE_IDLE_S,
            zmq.TCP_KEEPALIVE_INTVL: _KEEPALIVE_INTERVAL_S,
            zmq.TCP_KEEPALIVE_CNT: _KEEPALIVE_PROBES,
            zmq.TCP_MAXRT: _UNACKNOWLEDGED_MS,
            zmq.RECONNECT_IVL_MAX: 1000,
        }
        if keys is not None:
            options[zmq.CURVE_PUBLICKEY] = keys.public
            options[zmq.CURVE_SECRETKEY] = keys.secret
            options[zmq.CURVE_SERVERKEY] = keys.server
        for option, value in options.items():
            socket.setsockopt(option, value)
