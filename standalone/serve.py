"""The stack's life: publish the checkpoint, start Triton, start the gateway, keep both alive, stop."""

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from gateway.child import GatewayChild, Told
from gateway.ports.all_ports import PORTS
from gateway.settings import GatewaySettings
from standalone.errors import StandaloneError
from standalone.published import Wanted, publish, published_models
from standalone.triton_server import HOST, TritonPorts, local_triton
from standalone.triton_wheel import find_triton_wheel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServeOptions:
    """The models to serve, and where.

    Attributes:
        more_models: other models of the repository to load, "*" for all.
        gateway: its `triton` and `model` are filled in here.
    """

    wanted: Wanted
    repository: Path
    more_models: tuple[str, ...]
    triton_ports: TritonPorts
    gateway: GatewaySettings


async def serve(options: ServeOptions, on_ready: Callable[[Told], None]) -> None:
    """Bring the stack up and keep it up until cancelled; everything is stopped on the way out.

    Raises:
        StandaloneError: when a part cannot start; `gateway.errors.StartError` when that part is the gateway.
    """
    if options.gateway.workers > 1:
        raise StandaloneError(
            "NITROGEN_WORKERS needs a gateway started by itself: unset it, or run python -m gateway --workers"
        )
    find_triton_wheel()
    ports = _free_ports(options)
    version = await publish(options.wanted, options.repository, options.gateway)
    models = published_models(options.repository, version.model_name, options.more_models)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nitrogen-")))
        triton = local_triton(options.repository, models, ports, folder, owns_folder=True)
        stack.push_async_callback(triton.stop)
        logger.info(
            "starting Triton with %s, version %d (%s, %s, %d steps)%s",
            version.model_name,
            version.number,
            version.manifest.made.formats[0],
            version.facts.precision,
            version.facts.inference_steps,
            "".join(f", and {model}" for model in models[1:]),
        )
        await triton.start()
        update = {"triton": f"{HOST}:{ports.grpc}", "model": version.model_name}
        gateway = GatewayChild("the gateway", options.gateway.model_copy(update=update))
        stack.push_async_callback(gateway.stop)
        told = await gateway.start()
        if told.reason is not None:
            raise StandaloneError(f"Triton runs, but the gateway cannot use it: {told.reason}")
        on_ready(told)
        await _first_to_end(triton.keep_running(), gateway.keep_running())


async def _first_to_end(*running: Coroutine[None, None, None]) -> None:
    """Run all until one ends or all are cancelled; end the same way."""
    tasks = [asyncio.create_task(one) for one in running]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _free_ports(options: ServeOptions) -> TritonPorts:
    """Check every port of the stack; those of Triton that are 0 are chosen here."""
    gateway, triton = options.gateway, options.triton_ports
    wanted: list[tuple[str, int | None, str]] = [
        *((gateway.host, port.number(gateway), port.flag) for port in PORTS),
        (gateway.host, gateway.http_port, "--http-port"),
        (HOST, triton.http, "--triton-http-port"),
        (HOST, triton.grpc, "--triton-grpc-port"),
        (HOST, triton.metrics, "--triton-metrics-port"),
    ]
    named: dict[int, str] = {}
    for _, port, flag in wanted:
        if port and named.setdefault(port, flag) != flag:
            raise StandaloneError(f"{named[port]} and {flag} are both {port}: give each its own")
    *_, http, grpc, metrics = (
        0 if port is None else _require_free_port(host, port, flag) for host, port, flag in wanted
    )
    return TritonPorts(http, grpc, metrics)


def _require_free_port(host: str, port: int, flag: str) -> int:
    """Return the port when it is free, for 0 one that the system chooses; else raise StandaloneError."""
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
