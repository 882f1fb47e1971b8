"""Accepts a port's connections, and counts each before its handshake, which may never come."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

_ACCEPTED_AT_ONCE = 2
_PAUSE_WITHOUT_DESCRIPTORS_S = 0.1
# How long a client may take to end TLS.
_SHUTDOWN_S = 0.6

Connection = TypeVar("Connection", bound=asyncio.BaseProtocol)


class Acceptor(Generic[Connection]):
    """Accepts a listening socket's connections, in the running event loop, until it is closed.

    Args:
        listener: the socket.
        enter: takes a new connection's socket, address and port; returns the protocol that serves it, or None
            to close it.
        failed: called for a connection whose handshake failed, with the reason.
        tls: the TLS that each connection must use.
        handshake_s: seconds that its handshake may take.
    """

    def __init__(
        self,
        listener: socket.socket,
        enter: Callable[[socket.socket, str, int], Connection | None],
        failed: Callable[[Connection, OSError], None],
        *,
        tls: ssl.SSLContext | None = None,
        handshake_s: float | None = None,
    ) -> None:
        self._listener = listener
        self._enter = enter
        self._failed = failed
        self._tls = tls
        self._tls_timeouts = (
            {} if tls is None else {"ssl_handshake_timeout": handshake_s, "ssl_shutdown_timeout": _SHUTDOWN_S}
        )
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._loop.add_reader(listener, self._accept)

    async def close(self) -> None:
        """Close the listening socket, and drop connections that still shake hands."""
        self._is_closed = True
        self._loop.remove_reader(self._listener)
        self._listener.close()
        if self._tls is not None:
            for task in self._arriving:
                task.cancel()
        await asyncio.gather(*self._arriving, return_exceptions=True)

    def _accept(self) -> None:
        """Accept some of the waiting connections; a flood of them must not delay admitted clients."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, (address, port, *_) = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                logger.warning("a connection could not be accepted: %s", error)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(_PAUSE_WITHOUT_DESCRIPTORS_S, self._accept_again)
                return
            accepted.setblocking(False)
            connection = self._enter(accepted, address, port)
            if connection is None:
                accepted.close()
                continue
            task = self._loop.create_task(self._open(connection, accepted))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    def _accept_again(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listener, self._accept)

    async def _open(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, **self._tls_timeouts
            )
        except OSError as error:
            accepted.close()
            self._failed(connection, error)
