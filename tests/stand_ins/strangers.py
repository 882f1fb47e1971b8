"""Servers that are not gateways, for programs that come to the wrong port."""

import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.patience import WITHIN_S

# The words of each, and the first line of them as it is shown: at most 60 characters.
STRANGERS = {
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    "bytes": (b"\x00\xff\x80PK\x03\n", None),  # bash leaves NUL out
    "empty line": (b"\n", ""),
    "no line end": (b"y" * 200_000, "y" * 60),
    "deep JSON": (b"[" * 10_000 + b"\n", "[" * 60),
    "null": (b"null\n", "null"),
    "other JSON": (b'{"hello": 1}\n', '{"hello": 1}'),
    "no actions": (b'{"status":"ok"}\n', '{"status":"ok"}'),
    "no steps": (b'{"status":"ok","pred":{"buttons":[]}}\n', '{"status":"ok","pred":{"buttons":[]}}'),
}


@contextlib.contextmanager
def stranger(says: bytes) -> Iterator[int]:
    """A server's port: each connection is told the same once something came, and nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening, says), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listening: socket.socket, says: bytes) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return  # the test is over
        with client, contextlib.suppress(OSError):
            client.settimeout(WITHIN_S)
            client.recv(65_536)
            client.sendall(says)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65_536):
                pass
