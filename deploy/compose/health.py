"""A container's health check that also ends a server that hangs: `health.py PORT LIVE_PATH READY_PATH`.

Docker starts again what has ended, but not what stands still. So a server whose LIVE_PATH goes unanswered for
six checks in a row is killed, and Docker starts it again. Any status is an answer. One that has not answered
yet is loading, and has 360 checks. Docker starts each check from outside, so it runs even when everything in
the container has been stopped.
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
    """Return 0 when READY_PATH is answered by 200, else 1; either way with what came on stdout."""
    port, live, ready = sys.argv[1:]
    try:
        _page(int(port), live)
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer on port {port}: {error}\n")
        if _checks_left() <= 0:
            _end(f"port {port} has not been answered for too long, so this server hangs; it is started again")
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
    """Kill all that runs here but the container's first process, which ends when the others have."""
    with Path("/proc/1/fd/2").open("w") as log:
        log.write(f"health: {why}\n")
    os.kill(1, signal.SIGCONT)
    os.kill(-1, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
