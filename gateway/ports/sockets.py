"""What is set on the sockets of connections, for every port."""

import socket
import struct

_KEEPALIVE_AFTER_S = 60


def set_up(connected: socket.socket) -> None:
    """Send each reply at once, as one segment, and notice a client that vanished."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_AFTER_S)


def end_by_reset(connected: socket.socket, *, wanted: bool) -> None:
    """Choose whether a reset ends the connection, also when the kernel ends it for a killed gateway.

    EmuHawk takes the end of a stream for silence and asks forever; a reset it understands.
    """
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", wanted, 0))
