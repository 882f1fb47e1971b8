"""The ZeroMQ connection to a server: its options, its keys, and what its monitor tells about it.

A REQ socket that has sent a request takes nothing but the reply. When that will not come, the socket is
thrown away and a new one takes its place, so a late reply has nowhere to arrive.
"""

from __future__ import annotations

import ipaddress
import os
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

import zmq
import zmq.auth
from zmq.utils.monitor import parse_monitor_message

from nitrogen_client.errors import AccessRefusedError, ArgumentError, ConnectionFailedError, KeyFileError
from nitrogen_client.exchange import A_ZEROMQ_PORT, Lost, Refused, Silent
from nitrogen_client.options import is_integer

# A reply has some kilobytes; an info of a large game table some more.
_MOST_REPLY_BYTES = 16 * 2**20
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

KeyFile = Union[str, "Path"]


@dataclass(frozen=True, repr=False)
class Keys:
    """A client's pair of CURVE keys and the server's public one, in Z85."""

    public: bytes
    secret: bytes
    server: bytes


def read_keys(client_key: KeyFile | None, server_key: KeyFile | None) -> Keys | None:
    """Return the keys in the files that `nitrogen-gateway keys` makes; None when there are no files.

    `client_key`: NAME.key_secret. `server_key`: server.key.

    Raises:
        KeyFileError: one of the files is missing, or holds no key; the message does not show it.
    """
    if client_key is None and server_key is None:
        return None
    if client_key is None or server_key is None:
        missing = "client_key (NAME.key_secret)" if client_key is None else "server_key (server.key)"
        raise KeyFileError(f"{missing} is missing: CURVE needs both files that 'nitrogen-gateway keys' made")
    public, secret = _certificate(client_key)
    server, _ = _certificate(server_key)
    if secret is None:
        raise KeyFileError(f"{client_key} holds no secret key: client_key is the file NAME.key_secret")
    return Keys(public, secret, server)


def _certificate(path: KeyFile) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it holds no public key"
        raise KeyFileError(f"the key file {path} cannot be used: {reason}") from None
    for key in (public, secret):
        if key is not None and len(key) != 40:
            raise KeyFileError(f"the key file {path} cannot be used: a key has 40 characters, not {len(key)}")
    return public, secret


@dataclass(frozen=True)
class Address:
    """Where a server is, and the keys to it."""

    host: str
    port: int
    keys: Keys | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check the host and the port.

        Raises:
            ArgumentError: one of them cannot be meant.
        """
        if not isinstance(self.host, str) or not self.host or any(c in self.host for c in "/ \t\r\n\0"):
            raise ArgumentError(f"host must be a name or an address, without tcp://; it is {self.host!r}")
        if self.is_ipv6 and not _is_ipv6(self.host):
            raise ArgumentError(f"host {self.host!r} is no IPv6 address; give the port as port")
        if not is_integer(self.port) or not 0 < self.port < 65536:
            raise ArgumentError(f"port must be a number from 1 to 65535; it is {self.port!r}")

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host

    def __str__(self) -> str:
        return f"[{self.host.strip('[]')}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).version == 6
    except ValueError:
        return False


@dataclass
class _State:
    """What is known of one socket.

    `is_waiting`: a request was sent, and its reply has not come. `was_ready`: a server has shaken hands.
    `was_lost`: the connection ended after that. `refusal`: why the server lets nobody in. `trouble`: why
    connections end before they are ready.
    """

    is_waiting: bool = False
    was_ready: bool = False
    was_lost: bool = False
    refusal: str | None = None
    trouble: str | None = None


class Connection:
    """One REQ socket after another, of which the present one can be used; no waiting is done here.

    `context`: makes the sockets, those of asyncio or others.
    """

    def __init__(self, address: Address, context: zmq.Context[Any]) -> None:
        self.address = address
        self._context = context
        self.socket: Any = None
        self.monitor: Any = None
        self._state = _State()

    def renew(self) -> bool:
        """Make a new socket unless the present one is fit for a request; return whether it is a new one."""
        if self.socket is not None and not (self._state.is_waiting or self._state.was_lost):
            return False
        self.discard()
        self._state = _State()
        try:
            self.socket = self._context.socket(zmq.REQ)
            self._configure(self.socket)
            self.monitor = self.socket.get_monitor_socket(_EVENTS)
            self.socket.connect(f"tcp://{self.address}")
        except zmq.ZMQError as error:
            self.discard()
            raise ConnectionFailedError(f"there is no connection to {self.address}: {error}") from error
        return True

    def discard(self) -> None:
        """Close the socket, at once and with whatever is under way."""
        if self.monitor is not None:
            self.socket.disable_monitor()
            self.monitor.close(linger=0)
            self.monitor = None
        if self.socket is not None:
            self.socket.close(linger=0)
            self.socket = None

    def request_begins(self) -> None:
        """Note that a request is about to be sent; unless its reply comes, the socket is spent."""
        self._state.is_waiting = True

    def cannot_send(self) -> Lost | Refused:
        """Return how the connection ended, of a socket that does not take the request."""
        return self.ended() or Lost()

    def reply_came(self) -> None:
        """Note that the reply was received."""
        self._state.is_waiting = False

    def take_event(self, parts: list[bytes]) -> None:
        """Take in what the monitor tells."""
        event = zmq.Event(parse_monitor_message(parts)["event"])
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._state.was_ready = True
        elif event == zmq.EVENT_DISCONNECTED and self._state.was_ready:
            self._state.was_lost = True
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._state.refusal = "this client's key, or its address, is not among those that are let in"
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self._state.refusal = (
                "the keys do not fit: check that the server asks for keys, and whether server_key is its own"
                if self.address.keys is not None
                else f"it asks for keys (give client_key and server_key), or is not {A_ZEROMQ_PORT}"
            )
        elif event != zmq.EVENT_CONNECTED:
            self._state.trouble = (
                f"it ends each connection at once: it is not {A_ZEROMQ_PORT}, the keys do not fit, it lets "
                "this machine not in, or it has as many clients as it takes"
            )

    def ended(self) -> Lost | Refused | None:
        """Return how the connection ended, when it is clear that no reply will come."""
        if self._state.refusal is not None:
            return Refused(
                AccessRefusedError(f"{self.address} refuses the connection: {self._state.refusal}")
            )
        return Lost() if self._state.was_lost else None

    def silent(self) -> Silent:
        """Return what is known of a server that has not replied in time."""
        return Silent(is_connected=self._state.was_ready, trouble=self._state.trouble)

    def _configure(self, socket: Any) -> None:  # noqa: ANN401 - of asyncio or not
        keys = self.address.keys
        options: dict[int, int | bytes] = {
            zmq.LINGER: 0,
            zmq.IPV6: int(self.address.is_ipv6),
            zmq.MAXMSGSIZE: _MOST_REPLY_BYTES,
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


def given_back_with(
    client: object, connection: Connection, context: zmq.Context[Any]
) -> weakref.finalize[Any, Any]:
    """Return what closes the connection and its context at once, when it is called or `client` is collected.

    A context that is collected together with its open sockets would wait for them, for ever. In a forked
    process it does nothing: they are the parent's to close.
    """
    give_back = weakref.finalize(client, _give_back, connection, context, os.getpid())
    # At the program's end another thread may still use them, and pyzmq leaves contexts alone then.
    give_back.atexit = False
    return give_back


def _give_back(connection: Connection, context: zmq.Context[Any], process_id: int) -> None:
    if process_id == os.getpid():
        connection.discard()
        context.destroy(linger=0)
