"""Port 8080: health for whoever restarts the gateway, readiness for whoever sends it players, metrics."""

from aiohttp import web

from gateway.data_plane import DataPlane
from gateway.settings import GatewaySettings
from gateway.telemetry.metrics import Metrics
from gateway.transport.tcp_server import cannot_bind


class HttpServer:
    """Serves `GET /healthz`, `/readyz` and `/metrics`.

    `draining`: set when the gateway is about to stop, so that /readyz sends new players elsewhere.
    """

    def __init__(self, plane: DataPlane, metrics: Metrics, settings: GatewaySettings) -> None:
        self._plane = plane
        self._metrics = metrics
        self._settings = settings
        self.draining = False
        application = web.Application()
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._exposition),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)

    async def start(self) -> None:
        """Bind the port and begin to serve.

        Raises:
            StartError: the port or the host cannot be bound.
        """
        host, port = self._settings.host, self._settings.http_port
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise cannot_bind(error, host, port, "--http-port") from error
        self.port = int(self._runner.addresses[0][1])
        self._metrics.lag.start()

    async def stop(self) -> None:
        """Close the port and its connections."""
        self._metrics.lag.stop()
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = "stopping" if self.draining else await self._plane.ready()
        return (
            web.Response(text="ready\n") if reason is None else web.Response(text=f"{reason}\n", status=503)
        )

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.exposition(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )
