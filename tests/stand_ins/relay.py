"""A relay before a gateway's TCP port: it keeps what passes, and cuts connections where a test wants that."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from tests.patience import WITHIN_S


class Relay:
    """Passes one request of each connection on, and its reply back.

    `cuts`: how many connections, the first ones, are closed as soon as their request has come. `requests`:
    those that came, with whatever followed them until the client closed. `replies`: those of the gateway.
    """

    def __init__(self, target: int, cuts: int = 0) -> None:
        self._target = target
        self._cuts = cuts
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(WITHIN_S)
        self.port: int = self._listening.getsockname()[1]
        self.requests: list[bytes] = []
        self.replies: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the connection that was not cut has ended."""
        self._thread.join(2 * WITHIN_S)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        with self._listening:
            for number in range(self._cuts + 1):
                client, _ = self._listening.accept()
                client.settimeout(WITHIN_S)
                with client, client.makefile("rb") as stream:
                    request = _request(stream)
                    if number >= self._cuts:
                        client.sendall(self._answer(request))
                        request += stream.read()
                    self.requests.append(request)

    def _answer(self, request: bytes) -> bytes:
        address = ("127.0.0.1", self._target)
        with socket.create_connection(address, timeout=WITHIN_S) as gateway, gateway.makefile("rb") as stream:
            gateway.sendall(request)
            self.replies.append(stream.readline())
        return self.replies[-1]


def _request(stream: BinaryIO) -> bytes:
    header = stream.readline()
    return header + stream.read(json.loads(header)["len"])


@contextmanager
def relay_to(target: int, cuts: int = 0) -> Iterator[Relay]:
    """A relay, which has passed on its one request and ended at the end."""
    relay = Relay(target, cuts)
    yield relay
    relay.wait()
