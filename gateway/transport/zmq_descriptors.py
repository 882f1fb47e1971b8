"""What can be learnt of, and done to, a connection that libzmq owns, by the number of its descriptor.

libzmq may close a descriptor, and the system give its number to something else, at any time. So a descriptor
is duplicated, checked to be a connection of the port, and only then used.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator

_TCP_INFO_BYTES = 136
_RECEIVED = struct.Struct("=Q")
_RECEIVED_OFFSET = 128  # tcpi_bytes_received in linux/tcp.h


@contextlib.contextmanager
def connection_of(descriptor: int, port: int) -> Iterator[socket.socket | None]:
    """Lend a connection of the local `port`, or None when the descriptor is none any more."""
    try:
        connection = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        yield None
        return
    with connection:
        yield connection if _is_of_port(connection, port) else None


def _is_of_port(connection: socket.socket, port: int) -> bool:
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        connection.getpeername()
    except OSError:  # it has no other end: it has gone, or listens
        return False
    return bool(connection.getsockname()[1] == port)


def bytes_received(descriptor: int) -> int:
    """Return how many bytes have arrived by a TCP connection since it began; 0 where that is unknown."""
    # Not duplicated: this is asked of thousands, and a wrong answer is not acted on unchecked.
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=descriptor)
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return 0
    finally:
        connection.detach()
    if len(info) < _TCP_INFO_BYTES:  # Linux before 4.1
        return 0
    received: int = _RECEIVED.unpack_from(info, _RECEIVED_OFFSET)[0]
    return received
