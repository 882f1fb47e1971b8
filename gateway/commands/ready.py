"""`nitrogen-gateway ready [HOST:PORT]`: whether a gateway is ready; for a container's health check.

It starts every few seconds, so it imports next to nothing: no HTTP library, no argument parser.
"""

import os
import socket
import sys
import time
from collections.abc import Sequence

from contract.endpoint import parse_endpoint
from gateway.commands.http_get import get

_WITHIN_S = 3.0
_MAX_BYTES = 65_536
_MAX_SHOWN = 1000
_USAGE = (
    "usage: nitrogen-gateway ready [HOST:PORT]\n\n"
    "Exits with 0 when the gateway's /readyz says ready within 3 s, else with 1 and the reason on stdout.\n"
    "Without HOST:PORT it asks the gateway on this machine, as NITROGEN_HOST and NITROGEN_HTTP_PORT say."
)
# A gateway that listens on all addresses answers on the loopback one.
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound to it


def main(words: Sequence[str]) -> int:
    """Ask, and print the answer; return 0 for ready, 1 for everything else, 2 for wrong arguments."""
    if len(words) > 1 or (words and words[0].startswith("-")):
        is_help = list(words) in (["-h"], ["--help"])
        (sys.stdout if is_help else sys.stderr).write(f"{_USAGE}\n")
        return 0 if is_help else 2
    is_ready, said = _ask(*(words or [_default()]))
    sys.stdout.write(f"{said}\n")
    return 0 if is_ready else 1


def from_this_machine(host: str, port: int | str) -> str:
    """Return the HOST:PORT under which this machine reaches a server that listens on `host`."""
    host = _LOOPBACK.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _default() -> str:
    return from_this_machine(
        os.environ.get("NITROGEN_HOST", ""), os.environ.get("NITROGEN_HTTP_PORT") or 8080
    )


def _ask(endpoint: str) -> tuple[bool, str]:
    """Return whether the gateway is ready, and its answer or why there is none."""
    try:
        place = parse_endpoint(endpoint)
    except ValueError as error:
        return False, f"{error}: check NITROGEN_HOST and NITROGEN_HTTP_PORT"
    try:
        deadline = time.monotonic() + _WITHIN_S
        with socket.create_connection(place, _WITHIN_S) as connection:
            status, page = get(connection, "/readyz", "gateway", deadline, _MAX_BYTES)
        if not page and status is None:
            raise ConnectionResetError
    except TimeoutError:
        return False, f"no answer from {endpoint} within {_WITHIN_S:g} s"
    except ConnectionResetError:
        return False, (
            f"{endpoint} closed the connection without an answer: it has too many connections, "
            "or another program listens there (check NITROGEN_HTTP_PORT)"
        )
    except OSError as error:
        return False, f"no answer from {endpoint}: {error.strerror or error}"
    if status is None:
        return False, f"another program listens on {endpoint}: check NITROGEN_HTTP_PORT"
    text = " ".join(page.decode(errors="replace").split())
    line = "".join(character for character in text if character.isprintable())
    return status == 200, line[:_MAX_SHOWN] or f"status {status}"
