"""Port 8080: health for whoever restarts the gateway, readiness for whoever sends it players, metrics."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from gateway.settings import GatewaySettings
from gateway.transport.listening import cannot_bind


class HttpServer:
    """Serves `GET /healthz`, `/readyz` and `/metrics`.

    `ready`: returns None, or why a request would get no actions. `exposition`: returns the metrics in
    Prometheus' text format. `path`: a Unix socket to listen on instead of the settings' port.
    `draining`: set when the gateway is about to stop, so that /readyz sends new players elsewhere.
    """

    def __init__(
        self,
        ready: Callable[[], Awaitable[str | None]],
        exposition: Callable[[], Awaitable[bytes]],
        settings: GatewaySettings,
        path: Path | None = None,
    ) -> None:
        self._ready = ready
        self._exposition = exposition
        self._settings = settings
        self._path = path
        self.draining = False
        application = web.Application()
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
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
        if self._path is not None:
            await web.UnixSite(self._runner, self._path).start()
            self.port = 0
            return
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise cannot_bind(error, host, port, "--http-port") from error
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and its connections."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = "stopping" if self.draining else await self._ready()
        return (
            web.Response(text="ready\n") if reason is None else web.Response(text=f"{reason}\n", status=503)
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=await self._exposition(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )
