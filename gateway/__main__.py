"""The command line: `python -m gateway`."""

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence

import uvloop

from gateway.errors import StartError
from gateway.server import Gateway, run
from gateway.settings import GatewaySettings, parse_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gateway until SIGINT or SIGTERM; return 0, 1 when it cannot start, 2 for a wrong setting."""
    try:
        settings = parse_settings(sys.argv[1:] if arguments is None else arguments)
    except StartError as error:
        sys.stderr.write(f"nitrogen-gateway: {error}\n")
        return 2
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
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
    await run(settings, stop, _announce)


def _announce(gateway: Gateway) -> None:
    """Say on stdout that the ports are open, in the words of the server that this one replaces."""
    sys.stdout.write(
        f"ZMQ Server running on port {gateway.zmq_port}\n"
        f"Simple TCP Server (JSON+Bytes) running on port {gateway.tcp_port}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
