"""One client that sends anything, in every way that the gateway's ZeroMQ and TCP ports know."""

import contextlib
import json
import pickle
import random
import socket
import struct
from collections import deque
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import msgpack
import zmq

from benchmarks.gateway.ways import HOST, TIMEOUT_S, Endpoints, connected, read_framed, request_socket

_STALLED = 20  # connections of one caller that have stopped in the middle of a request
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST, and everything in flight is lost


class Caller:
    """One client that sends requests of all kinds; used as a context manager."""

    def __init__(self, endpoints: Endpoints, seed: int) -> None:
        self.endpoints = endpoints
        self.random = random.Random(seed)
        self._stack = ExitStack()
        self._stalled: deque[socket.socket] = deque()

    def __enter__(self) -> Self:
        self._zmq = self._stack.enter_context(request_socket(self.endpoints.zmq))
        self._lines, self._line_replies = self._connect()
        self._framed, self._framed_replies = self._connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._stalled:
            self._stalled.popleft().close()
        self._stack.close()

    def zmq(self, payload: bytes) -> str:
        """Return the status of the reply to a message on the ZeroMQ port."""
        self._zmq.send(payload)
        return _status(self._zmq.recv())

    def zmq_as_somebody_else(self, payload: bytes) -> str:
        """Return the same for a client that connects, asks once and leaves."""
        with request_socket(self.endpoints.zmq) as client:
            client.send(payload)
            return _status(client.recv())

    def tcp(self, request: bytes) -> str:
        """Return the status of the reply to a request on a connection that goes on."""
        self._lines.sendall(request)
        return str(json.loads(self._line_replies.readline())["status"])

    def tcp_framed(self, payload: bytes) -> str:
        """Return the status of the reply to a payload in BizHawk's framing."""
        self._framed.sendall(b"%d " % len(payload) + payload)
        return str(json.loads(read_framed(self._framed_replies))["status"])

    def tcp_to_the_end(self, request: bytes) -> str:
        """Return the status of the reply to a request after which the gateway closes the connection."""
        reply = b""
        with connected(self.endpoints.tcp) as client:
            client.sendall(request)
            # A connection of BizHawk's ends with a reset.
            with contextlib.suppress(ConnectionResetError):
                while more := client.recv(2**16):
                    reply += more
        return str(json.loads(reply[reply.find(b"{") :])["status"])  # BizHawk's has its length in front

    def hang_up(self, port: int, sent: bytes) -> None:
        """Connect, send, and reset the connection."""
        with socket.create_connection((HOST, port), timeout=TIMEOUT_S) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.sendall(sent)

    def leave_before_the_reply(self, payload: bytes) -> None:
        """Ask on the ZeroMQ port, and close the socket as soon as the message is out."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as client:
            client.linger = 100
            client.connect(f"tcp://{HOST}:{self.endpoints.zmq}")
            client.send_multipart([b"", payload])

    def stall(self, sent: bytes) -> None:
        """Connect, send, and stay; close the oldest of these connections."""
        client = socket.create_connection((HOST, self.endpoints.tcp), timeout=TIMEOUT_S)
        client.sendall(sent)
        self._stalled.append(client)
        if len(self._stalled) > _STALLED:
            self._stalled.popleft().close()

    def _connect(self) -> tuple[socket.socket, Any]:
        client = self._stack.enter_context(connected(self.endpoints.tcp))
        return client, self._stack.enter_context(client.makefile("rb"))


def _status(reply: bytes) -> str:
    unpacked = pickle.loads(reply) if reply[0] == 0x80 else msgpack.unpackb(reply)
    return str(unpacked["status"])
