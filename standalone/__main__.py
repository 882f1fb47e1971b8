"""The command line `python -m standalone`, also installed as `nitrogen-serve`."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import uvloop

from gateway.errors import StartError
from gateway.server import Gateway
from gateway.settings import parse_settings
from standalone.errors import StandaloneError
from standalone.published import Sampling
from standalone.serve import ServeOptions, serve
from standalone.triton_server import TritonPorts

_DEMO_NOTICE = """
*** DEMO: this model is UNTRAINED. It shows that the chain works; its actions mean nothing. ***
"""


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 0, or 1 after one sentence on stderr when something cannot start."""
    try:
        options = _parse(arguments)
        logging.basicConfig(
            level=options.gateway.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve_until_signal(options))
    except (StandaloneError, StartError) as error:
        sys.stderr.write(f"nitrogen-serve: {error}\n")
        return 1
    return 0


async def _serve_until_signal(options: ServeOptions) -> None:
    if options.checkpoint is None:
        sys.stdout.write(_DEMO_NOTICE)
        sys.stdout.flush()
    serving = asyncio.create_task(serve(options, _announce))
    stopping = asyncio.Event()

    def stop() -> None:
        # Once only: a second signal must not interrupt the cleaning up.
        if not stopping.is_set():
            stopping.set()
            serving.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await serving
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise


def _announce(gateway: Gateway) -> None:
    """Say on stdout that all is up, also in the words of the server that this one replaces."""
    sys.stdout.write(
        f"ZMQ Server running on port {gateway.zmq_port}\n"
        f"Simple TCP Server (JSON+Bytes) running on port {gateway.tcp_port}\n"
        f"ready: zmq {gateway.zmq_port}, tcp {gateway.tcp_port}, http {gateway.http_port}\n"
    )
    sys.stdout.flush()


def _parse(arguments: list[str] | None) -> ServeOptions:
    parser = argparse.ArgumentParser(
        prog="nitrogen-serve",
        description="Serve a NitroGen checkpoint: export it if need be, start Triton and the gateway. "
        "The gateway's other settings are read from NITROGEN_* environment variables.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="an ng.pt file")
    parser.add_argument("--demo", action="store_true", help="serve an untrained model, to try the chain out")
    parser.add_argument(
        "--repository",
        metavar="DIR",
        type=Path,
        default=Path("var", "model_repository"),
        help="Triton's model repository",
    )
    for name in ("host", "zmq-port", "tcp-port", "http-port"):
        parser.add_argument(f"--{name}", help=f"the gateway's --{name}", default=argparse.SUPPRESS)
    for name, port in (("http", 8000), ("grpc", 8001), ("metrics", 8002)):
        parser.add_argument(
            f"--triton-{name}-port", type=int, default=port, metavar="PORT", help="on 127.0.0.1"
        )
    parser.add_argument("--steps", type=int, metavar="N", help="sampler steps, if not the checkpoint's")
    parser.add_argument(
        "--context", type=int, metavar="K", help="frames seen at once, if not the checkpoint's"
    )
    parser.add_argument("--cfg-scale", type=float, metavar="S", help="scale of classifier-free guidance")
    values = vars(parser.parse_args(arguments))
    if bool(values["checkpoint"]) == values["demo"]:
        parser.error("give either a CHECKPOINT or --demo")
    gateway_flags = [
        f"--{name.replace('_', '-')}={values[name]}"
        for name in ("host", "zmq_port", "tcp_port", "http_port")
        if name in values
    ]
    return ServeOptions(
        checkpoint=None if values["demo"] else Path(values["checkpoint"]),
        repository=values["repository"],
        sampling=Sampling(values["steps"], values["context"], values["cfg_scale"]),
        triton_ports=TritonPorts(
            values["triton_http_port"], values["triton_grpc_port"], values["triton_metrics_port"]
        ),
        gateway=parse_settings(gateway_flags),
    )


if __name__ == "__main__":
    sys.exit(main())
