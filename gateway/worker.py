"""`python -m gateway.worker [SOCKET]`: the gateway process that `child` starts.

It reads its settings as one line of JSON from standard input, writes one line of JSON with its ports, or the
reason why it cannot start, and stops when standard input ends. With a Unix socket it serves health and
metrics there.
"""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import uvloop

from gateway.errors import StartError
from gateway.memory import keep_memory_for_frames
from gateway.server import Gateway, run
from gateway.settings import GatewaySettings
from gateway.telemetry.logs import configure_logging


def main(http_socket: Path | None) -> int:
    """Run the worker; return 0, or 1 if it cannot start, with the reason as JSON on stdout."""
    settings = GatewaySettings.model_validate_json(sys.stdin.buffer.readline())
    configure_logging(settings.log_level, settings.log_format)
    keep_memory_for_frames()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, http_socket))
        if http_socket is not None:
            _leave(http_socket)
    except StartError as error:
        _say(str(error))
        return 1
    return 0


async def _run(settings: GatewaySettings, http_socket: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # The parent handles signals to the whole group: it tells load balancers first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

    def parent_ended() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stop.set()

    # The parent writes nothing more: when stdin can be read, the parent has ended.
    loop.add_reader(sys.stdin.fileno(), parent_ended)
    telling: list[asyncio.Task[None]] = []

    def listens(gateway: Gateway) -> None:
        telling.append(loop.create_task(_tell(gateway, asks_model=http_socket is None)))

    await run(settings, stop, listens, http_socket)


async def _tell(gateway: Gateway, *, asks_model: bool) -> None:
    reason = await gateway.model.ready() if asks_model else None
    _say({"ports": gateway.port_numbers, "http_port": gateway.http_port, "reason": reason})


def _leave(http_socket: Path) -> None:
    """Remove the socket, and the folder if it was the last one: a killed parent can do neither."""
    http_socket.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        http_socket.parent.rmdir()


def _say(what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
