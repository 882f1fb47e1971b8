"""Every port's sockets: those that listen, the options of connections, and TLS."""

import errno
import socket
import ssl
import struct
from pathlib import Path

from gateway.errors import StartError
from gateway.settings import GatewaySettings

_BACKLOG = 1024
_KEEPALIVE_AFTER_S = 60


def listening_socket(settings: GatewaySettings, port: int, flag: str) -> socket.socket:
    """Return a non-blocking socket that listens on a port; several workers may listen on the same one.

    Args:
        settings: the gateway's, with the host.
        port: its number; 0 lets the system choose.
        flag: the port's, for the error.

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
    """Return the error for a port that cannot be bound."""
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"port {port} is in use on {host}: stop the program that uses it, or choose another with {flag}"
        )
    return StartError(f"cannot listen on {host} port {port} ({error}): check --host and {flag}")


def set_up(connected: socket.socket) -> None:
    """Set a connection's options: send each reply at once, and notice a client that vanished."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_AFTER_S)


def end_by_reset(connected: socket.socket, *, wanted: bool) -> None:
    """Choose whether the connection ends with a reset, even if the gateway is killed.

    EmuHawk takes the end of a stream for silence and asks forever, but it understands a reset.
    """
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", wanted, 0))


def tls_context(certificate: Path | None, key: Path | None, flag: str) -> ssl.SSLContext | None:
    """Return a server's TLS context; None without a certificate.

    Args:
        certificate: a PEM file.
        key: a PEM file; None if the certificate's file has the key.
        flag: the certificate's, for the error.

    Raises:
        StartError: the files are not a certificate with its key.
    """
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password="")  # else OpenSSL asks on the terminal
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"{flag} {certificate} is not a PEM certificate with its key ({error}): check both files"
        ) from error
    return context
