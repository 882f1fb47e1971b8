"""HTTP GET over a plain socket: `ready` starts too often to import an HTTP library each time."""

import socket
import time

_HTTP = b"HTTP/1."


def get(
    connection: socket.socket, path: str, host: str, deadline: float, max_bytes: int
) -> tuple[int | None, bytes]:
    """Return a page's status and text, or None and the bytes that came if they are not HTTP.

    Args:
        connection: an open connection.
        path: the page's.
        host: for the request's Host header.
        deadline: on the clock of `time.monotonic`.
        max_bytes: the largest page.

    Raises:
        TimeoutError: the page was not complete by then.
        OSError: the connection broke.
    """
    connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    received = b""
    while len(received) < max_bytes and received[: len(_HTTP)] == _HTTP[: len(received)]:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(65_536)
        if not part:
            break
        received += part
    head, _, text = received.partition(b"\r\n\r\n")
    version, _, rest = head.partition(b" ")
    if version.startswith(_HTTP) and rest[:3].isdigit():
        return int(rest[:3]), text
    return None, received
