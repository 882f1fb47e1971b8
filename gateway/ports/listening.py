"""Listening sockets for the gateway's ports, and the sentence for one that cannot be bound."""

import errno
import socket

from gateway.errors import StartError
from gateway.settings import GatewaySettings

_BACKLOG = 1024


def listening_socket(settings: GatewaySettings, port: int, flag: str) -> socket.socket:
    """Return a non-blocking socket that listens on a port (0: one that the system chooses).

    Several workers may listen on the same one. `flag`: the port's, for the error.

    Raises:
        StartError: the port or the host cannot be bound.
    """
    host = settings.host
    is_ipv6 = ":" in host
    try:
        listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
            dualstack_ipv6=is_ipv6,
            backlog=_BACKLOG,
            reuse_port=settings.workers > 1,
        )
    except OSError as error:
        raise cannot_bind(error, host, port, flag) from error
    listener.setblocking(False)
    return listener


def port_of(listener: socket.socket) -> int:
    """Return the number of the port that a socket listens on."""
    return int(listener.getsockname()[1])


def cannot_bind(error: OSError, host: str, port: int, flag: str) -> StartError:
    """Return the sentence for a port that cannot be bound."""
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"port {port} is in use on {host}: stop the program that has it, or choose another with {flag}"
        )
    return StartError(f"cannot listen on {host} port {port} ({error}): check --host and {flag}")
