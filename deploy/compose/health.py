"""A container's health check that also ends a server that hangs: `health.py PORT LIVE_PATH READY_PATH`.

Docker restarts a server that has ended, but not one that hangs. So this check kills a server that does not
answer LIVE_PATH six times in a row, and Docker restarts it. Any status is an answer. A server that has never
answered is loading, and gets 360 checks. Docker starts each check from outside, so it runs even when
everything in the container has been stopped.
"""

import http.client
import os
import signal
import sys
from pathlib import Path

CHECKS_ONCE_LIVE = 6
CHECKS_TO_START = 360
_WITHIN_S = 4
# How many checks are left. Docker empties /tmp when it starts the container again.
_LEFT = Path("/tmp/checks-left")  # noqa: S108 - the container's own


def main() -> int:
    """Print the server's answer, and return 0 when READY_PATH gives 200, else 1."""
    port, live, ready = sys.argv[1:]
    try:
        _page(int(port), live)
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer on port {port}: {error}\n")
        if _checks_left() <= 0:
            _end(f"port {port} has not answered for too long: the server hangs, and Docker restarts it")
        return 1
    _LEFT.write_text(str(CHECKS_ONCE_LIVE))
    try:
        status, text = _page(int(port), ready)
    except (OSError, http.client.HTTPException) as error:
        status, text = 0, f"no answer to {ready}: {error}"
    sys.stdout.write(f"{text.strip() or status}\n")
    return 0 if status == http.HTTPStatus.OK else 1


def _page(port: int, path: str) -> tuple[int, str]:
    """Return a page's status and text.

    Raises:
        OSError, HTTPException: it did not come in time, or not as HTTP.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WITHIN_S)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read(1000).decode(errors="replace")
    finally:
        connection.close()


def _checks_left() -> int:
    try:
        left = int(_LEFT.read_text()) - 1
    except (OSError, ValueError):
        left = CHECKS_TO_START - 1
    _LEFT.write_text(str(left))
    return left


def _end(why: str) -> None:
    """Kill everything here but the container's first process, which then ends by itself."""
    with Path("/proc/1/fd/2").open("w") as log:
        log.write(f"health: {why}\n")
    os.kill(1, signal.SIGCONT)
    os.kill(-1, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
