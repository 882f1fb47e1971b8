"""The common parts of both clients: settings and connection. Each waits in its own way."""

from __future__ import annotations

import logging
import os
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Any

import zmq

from nitrogen_client.address import Address, KeyFile, read_keys
from nitrogen_client.connection import Connection, Wait
from nitrogen_client.errors import ArgumentError, ClientClosedError
from nitrogen_client.exchange import Answer, Peer, Request, exchange
from nitrogen_client.formats import PROTOCOLS
from nitrogen_client.options import UNSET, GivenGame, Noise, Options, checked_timeout, is_integer

logger = logging.getLogger(__name__)


class BaseClient(ABC):
    """A client's settings and its connection. `ModelClient` says what the arguments are."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 5555,
        *,
        timeout_s: float = 30.0,
        retries: int = 10,
        protocol: str = "auto",
        seed: int | None = None,
        game: GivenGame = UNSET,
        model: str | None = None,
        timing: bool = False,
        noise: Noise = "fresh",
        client_key: KeyFile | None = None,
        server_key: KeyFile | None = None,
    ) -> None:
        if not is_integer(retries) or retries < 0:
            raise ArgumentError(f"retries must be a whole number of 0 or more; it is {retries!r}")
        if protocol not in PROTOCOLS:
            raise ArgumentError(f"protocol must be one of {', '.join(PROTOCOLS)}; it is {protocol!r}")
        keys = read_keys(client_key, server_key)
        self._address = Address(host, int(port) if is_integer(port) else port, keys)
        self.host = host
        self.port = self._address.port
        self.timeout_s = checked_timeout(timeout_s)
        self._retries = int(retries)
        self._protocol = protocol
        # The defaults of predicts; an info has the model's alone, and a reset none.
        self._options = Options(seed, game, model, timing, noise)
        self._closed = False
        self._start()

    @abstractmethod
    def _start(self) -> None:
        """Make what the waiting needs."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.host!r}, {self.port})"

    def _begin(self, context: zmq.Context[Any]) -> None:
        """Begin without a connection, in this process."""
        self._pid = os.getpid()
        self._connection = Connection(self._address, context)
        # Closed also when the client is collected: a context that is collected together with its open sockets
        # would wait for them forever.
        self._give_back = weakref.finalize(self, _give_back, self._connection, context, self._pid)
        # At the program's end another thread may still use them, and pyzmq leaves contexts alone then.
        self._give_back.atexit = False
        self._peer = Peer(str(self._address), self._protocol)

    def _time(self, timeout_s: float | None) -> tuple[float, float]:
        """Return the seconds for a call, and when they are over."""
        timeout_s = self.timeout_s if timeout_s is None else checked_timeout(timeout_s)
        return timeout_s, time.monotonic() + timeout_s

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosedError("this client is closed: make a new one")

    def _exchange(self, request: Request, timeout_s: float, deadline: float) -> Generator[Wait, None, Answer]:
        """Return the way of a request to its answer, whose turn it is."""
        self._check_open()
        return exchange(
            self._connection,
            self._peer,
            request,
            timeout_s=timeout_s,
            deadline=deadline,
            retries=self._retries,
        )

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._give_back()
            logger.info("connection to %s closed", self._address)


def _give_back(connection: Connection, context: zmq.Context[Any], process_id: int) -> None:
    """Close a connection and its context at once, unless they are a parent process's to close."""
    if process_id == os.getpid():
        connection.discard()
        context.destroy(linger=0)
