"""`nitrogen-gateway` without a command: the gateway itself, until it gets a signal."""

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence

import uvloop

from gateway.command_line import allow_many_connections, parse_settings
from gateway.errors import StartError
from gateway.memory import keep_memory_for_frames
from gateway.ports.all_ports import PORTS
from gateway.server import Gateway, run
from gateway.settings import GatewaySettings
from gateway.telemetry.logs import configure_logging
from gateway.workers import Workers, run_workers


def main(words: Sequence[str]) -> int:
    """Run the gateway until SIGINT or SIGTERM.

    Returns 0, 1 when it cannot start, 2 for a wrong setting.
    """
    try:
        settings = parse_settings(words)
    except StartError as error:
        sys.stderr.write(f"nitrogen-gateway: {error}\n")
        return 2
    configure_logging(settings.log_level, settings.log_format)
    allow_many_connections()
    keep_memory_for_frames()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run_until_signal(settings))
    except StartError as error:
        sys.stderr.write(f"nitrogen-gateway: {error}\n")
        return 1
    return 0


async def _run_until_signal(settings: GatewaySettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if settings.workers > 1:
        await run_workers(settings, stop, _announce)
    else:
        await run(settings, stop, _announce)


def _announce(gateway: Gateway | Workers) -> None:
    """Print that the ports are open, in the words of the server that this one replaces."""
    sys.stdout.write(announcement(gateway.port_numbers))
    sys.stdout.flush()


def announcement(numbers: Mapping[str, int]) -> str:
    """Return the lines that say which ports are open; `numbers` are by port name, 0 for off."""
    opened = [(port.announcement, numbers[port.name]) for port in PORTS]
    return "".join(f"{text.format(number)}\n" for text, number in opened if number)
