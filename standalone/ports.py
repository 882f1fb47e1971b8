"""Are the ports free? Asked before anything slow begins, so that a start fails at once and says why."""

import os
import socket

from standalone.errors import StandaloneError


def require_free_port(host: str, port: int, flag: str) -> int:
    """The port itself when it is free; for port 0 one that the system chooses.

    Raises:
        StandaloneError: when it is in use or may not be used.
    """
    if not 0 <= port <= 65535:
        raise StandaloneError(f"{flag} is {port}, but a whole number from 0 up to 65535 is needed")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as probe:
            chosen: int = probe.getsockname()[1]
            return chosen
    except OSError as error:
        raise StandaloneError(
            f"port {port} on {host} cannot be used ({os.strerror(error.errno or 0)}): "
            f"stop what uses it, or choose another with {flag}"
        ) from error
