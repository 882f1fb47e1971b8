"""A relay that passes connections on to a port and counts their bytes."""

import socket
import threading
from types import TracebackType
from typing import Self

from benchmarks.gateway.ways import HOST, TIMEOUT_S


class Relay:
    """Passes connections to `port` on to another one of this host; used as a context manager.

    Attributes:
        forth: bytes to that port so far, of all connections together.
        back: bytes from that port so far, of all connections together.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server((HOST, 0))
        self._open = [self._listening]
        self._lock = threading.Lock()
        self.port: int = self._listening.getsockname()[1]
        self.forth = 0
        self.back = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
                server = socket.create_connection((HOST, self._target), timeout=TIMEOUT_S)
            except OSError:  # closed: the end
                return
            self._open += [client, server]
            for one in (client, server):
                one.settimeout(None)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, target, forth in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=(source, target, forth), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, forth: bool) -> None:
        try:
            while data := source.recv(2**18):
                with self._lock:
                    if forth:
                        self.forth += len(data)
                    else:
                        self.back += len(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:  # one side has gone, and the other will notice
            return
