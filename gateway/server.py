"""The gateway: Triton's client, the data plane and the ports, on one event loop.

It installs no signal handlers and prints nothing, so it can be embedded; `commands.serve` does both.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.data_plane import DataPlane
from gateway.ports.all_ports import PORTS
from gateway.ports.http.server import HttpServer
from gateway.ports.port import Port, PortServer, Services
from gateway.ports.sockets import listening_socket, port_of
from gateway.session.admission import Admission
from gateway.settings import OFF, GatewaySettings
from gateway.telemetry.live import Live
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.triton.connection import TritonConnection
from gateway.triton.model import TritonModel
from gateway.triton.registry import ModelRegistry

logger = logging.getLogger(__name__)

# Seconds that requests in flight get when the gateway stops: longer than TCP clients wait for a reply.
_GRACE_S = 5.0
# A silent Triton must not hold up the metrics: Prometheus waits for five seconds.
_READY_WITHIN_S = 1.0


class Gateway:
    """One gateway. It starts, and stays up, without Triton, too; its requests then get error replies.

    Args:
        settings: all of them.
        http_socket: a Unix socket for health and metrics, instead of the settings' HTTP port.
        ports: those for players.

    Raises:
        StartError: a file that the settings name cannot be used.
    """

    def __init__(
        self, settings: GatewaySettings, http_socket: Path | None = None, ports: Sequence[Port] = PORTS
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._connection = TritonConnection.from_settings(settings)
        self.models = ModelRegistry(self._connection, settings.model)
        self._plane = DataPlane(
            self.models,
            settings.game,
            self.metrics.dispatched,
            settings.max_image_pixels,
            settings.max_at_triton,
        )
        self.metrics.endpoints_up = self._connection.endpoints_up
        self.metrics.decoding = lambda: self._plane.decoders.pending
        self.metrics.horizons = self.models.horizons
        self._recorder = None
        if settings.record is not None:
            self._recorder = Recorder(
                settings.record, settings.record_max_bytes, self.metrics.recordings, settings.workers
            )
        record = None if self._recorder is None else self._recorder.record
        admission = Admission(settings.max_in_flight)
        self._live = None if settings.live == "off" else Live(settings.game)
        services = Services(settings, self._plane, self.metrics, admission, record, self._live)
        self._kinds = ports
        self.ports: dict[str, PortServer] = {port.name: port.make_server(services) for port in ports}
        # The open ports for players, once started, by their names; 0 for one that is off.
        self.port_numbers = {port.name: 0 for port in ports}
        self._http = HttpServer(
            self._plane.ready,
            self._exposition,
            lambda: [(self.port_numbers[port.name], port.purpose) for port in ports],
            settings,
            http_socket,
            self._live,
        )
        self._started = False

    @property
    def model(self) -> TritonModel:
        """The model of the requests that name none."""
        return self.models.default

    @property
    def http_port(self) -> int:
        """The number of the HTTP port, once started."""
        return self._http.port

    async def start(self) -> None:
        """Listen on all ports, without waiting for Triton.

        Raises:
            StartError: a port cannot be bound; then none is left open.
        """
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self._close_inside)
            await self._connection.start()
            undo.push_async_callback(self._connection.close)
            await self.models.start()
            undo.push_async_callback(self.models.close)
            for port in self._kinds:
                number = port.number(self.settings)
                if number is not None:
                    listener = listening_socket(self.settings, number, port.flag)
                    self.port_numbers[port.name] = port_of(listener)
                    await self.ports[port.name].start(listener)
                    undo.push_async_callback(self.ports[port.name].stop, 0)
            await self._http.start()
            self.metrics.lag.start()
            undo.pop_all()
        self._started = True
        logger.info(
            "listening on %s: %s, http %d; Triton at %s",
            self.settings.host,
            ", ".join(f"{name} {number or OFF}" for name, number in self.port_numbers.items()),
            self.http_port,
            self.settings.triton,
        )

    async def stop(self) -> None:
        """Stop listening, give requests in flight a short while, answer the rest with an error.

        Before that, /readyz says "not ready" for `drain_delay_s` seconds, so that no new players come.
        """
        if not self._started:
            return
        self._started = False
        self._http.draining = True
        await asyncio.sleep(self.settings.drain_delay_s)
        try:
            serving = [self.ports[name] for name, number in self.port_numbers.items() if number]
            await asyncio.gather(*(server.stop(_GRACE_S) for server in serving))
        finally:
            self.metrics.lag.stop()
            await self.models.close()
            await asyncio.gather(self._http.stop(), self._connection.close(), self._close_inside())
        logger.info("stopped")

    async def _exposition(self) -> bytes:
        self.metrics.is_ready = await self._http.is_ready(_READY_WITHIN_S)
        return self.metrics.exposition()

    async def _close_inside(self) -> None:
        self._plane.close()
        if self._live is not None:
            self._live.close()
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)


async def run(
    settings: GatewaySettings,
    stop: asyncio.Event,
    on_ready: Callable[[Gateway], None],
    http_socket: Path | None = None,
) -> None:
    """Run a gateway until `stop` is set; `on_ready` is called once it listens.

    Raises:
        StartError: a port cannot be bound, or a file that the settings name cannot be used.
    """
    gateway = Gateway(settings, http_socket)
    await gateway.start()
    try:
        on_ready(gateway)
        await stop.wait()
    finally:
        await gateway.stop()
