"""`python -m gateway.worker SOCKET`: one of several gateway processes; started by `workers` only.

It reads its settings as one line of JSON from its standard input, serves its health and metrics on the Unix
socket SOCKET, says "ready" when it listens, and stops when its standard input ends.
"""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import uvloop

from gateway.errors import StartError
from gateway.server import run
from gateway.settings import GatewaySettings
from gateway.telemetry.logs import configure_logging


def main(http_socket: Path) -> int:
    """Run the worker; 0, or 1 when it cannot start, with the reason as JSON on stdout."""
    settings = GatewaySettings.model_validate_json(sys.stdin.buffer.readline())
    configure_logging(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, http_socket))
        _leave(http_socket)
    except StartError as error:
        _say(json.dumps(str(error)))
        return 1
    return 0


async def _run(settings: GatewaySettings, http_socket: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Signals to the whole group are the parent's, which first lets load balancers know.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

    def parent_ended() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stop.set()

    # The parent writes nothing more: what can be read is its end.
    loop.add_reader(sys.stdin.fileno(), parent_ended)
    await run(settings, stop, lambda _: _say("ready"), http_socket)


def _leave(http_socket: Path) -> None:
    """Remove the socket, and with the last one its folder: a parent that was killed can do neither."""
    http_socket.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        http_socket.parent.rmdir()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
