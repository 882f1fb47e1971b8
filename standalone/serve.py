"""The stack's life: publish the checkpoint, start Triton, start the gateway, keep Triton alive, stop."""

import logging
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from gateway.server import Gateway
from gateway.settings import GatewaySettings
from standalone.errors import StandaloneError
from standalone.ports import require_free_port
from standalone.published import Sampling, make_demo_checkpoint, publish
from standalone.triton_server import HOST, TritonPorts, TritonServer, server_command, shared_memory_prefix
from standalone.triton_wheel import assemble_backends, find_triton_wheel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServeOptions:
    """What to serve and where.

    `checkpoint`: None for the demo. `gateway`: its `triton` and `model` are filled in here.
    """

    checkpoint: Path | None
    repository: Path
    sampling: Sampling
    triton_ports: TritonPorts
    gateway: GatewaySettings


async def serve(options: ServeOptions, on_ready: Callable[[Gateway], None]) -> None:
    """Bring the stack up and keep it up until cancelled; everything is stopped on the way out.

    Raises:
        StandaloneError: when a part cannot start; `gateway.errors.StartError` when that part is the gateway.
    """
    wheel = find_triton_wheel()
    ports = _free_ports(options)
    checkpoint = options.checkpoint or await make_demo_checkpoint()
    version = await publish(checkpoint, options.repository, options.sampling)
    async with AsyncExitStack() as stack:
        run_folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nitrogen-")))
        backends = run_folder / "backends"
        assemble_backends(wheel, backends)
        prefix = shared_memory_prefix()
        command = server_command(wheel, backends, options.repository, [version.model_name], ports, prefix)
        triton = TritonServer(
            command, wheel.environment(), ports, run_folder / "triton.log", prefix, scratch=run_folder
        )
        stack.push_async_callback(triton.stop)
        logger.info("starting Triton with %s, version %d", version.model_name, version.number)
        await triton.start()
        gateway = Gateway(
            options.gateway.model_copy(update={"triton": f"{HOST}:{ports.grpc}", "model": version.model_name})
        )
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        reason = await gateway.model.ready()
        if reason is not None:
            raise StandaloneError(f"Triton runs, but the gateway cannot use it: {reason}")
        on_ready(gateway)
        await triton.keep_running()


def _free_ports(options: ServeOptions) -> TritonPorts:
    """Check every port of the stack; those of Triton that are 0 are chosen here."""
    gateway, triton = options.gateway, options.triton_ports
    wanted = [
        (gateway.host, gateway.zmq_port, "--zmq-port"),
        (gateway.host, gateway.tcp_port, "--tcp-port"),
        (gateway.host, gateway.http_port, "--http-port"),
        (HOST, triton.http, "--triton-http-port"),
        (HOST, triton.grpc, "--triton-grpc-port"),
        (HOST, triton.metrics, "--triton-metrics-port"),
    ]
    named: dict[int, str] = {}
    for _, port, flag in wanted:
        if port and named.setdefault(port, flag) != flag:
            raise StandaloneError(f"{named[port]} and {flag} are both {port}: give each its own")
    *_, http, grpc, metrics = (require_free_port(host, port, flag) for host, port, flag in wanted)
    return TritonPorts(http, grpc, metrics)
