"""Port 8080: health, readiness and metrics, for programs that restart, load-balance and watch the gateway."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.ports.http.connections import HttpConnections
from gateway.ports.http.live import LivePage, LiveSource
from gateway.ports.http_requests import AIOHTTP_LOGGER
from gateway.ports.sockets import cannot_bind, port_of
from gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

_READY_FOR_S = 0.1
_PAGES = {
    "/healthz": "whether the gateway is alive",
    "/readyz": "whether a request would get actions, and if not, why",
    "/metrics": "numbers for Prometheus",
}


class HttpServer:
    """Serves `/healthz`, `/readyz` and `/metrics`, and `/`, which lists the pages and the players' ports.

    Args:
        ready: returns None, or why a request would get no actions.
        exposition: returns the metrics in Prometheus' text format.
        players_ports: returns each players' port's number, 0 for one that is off, and who uses it.
        settings: the gateway's.
        path: a Unix socket to listen on instead of the settings' port.
        live: gives the live page its contents, None without the page.

    Attributes:
        draining: set when the gateway is about to stop, so that /readyz sends new players elsewhere.
    """

    def __init__(
        self,
        ready: Callable[[], Awaitable[str | None]],
        exposition: Callable[[], Awaitable[bytes]],
        players_ports: Callable[[], Sequence[tuple[int, str]]],
        settings: GatewaySettings,
        path: Path | None = None,
        live: LiveSource | None = None,
    ) -> None:
        self._ready = ready
        self._exposition = exposition
        self._players_ports = players_ports
        self._settings = settings
        self._path = path
        self.draining = False
        self._server: asyncio.Server | None = None
        self._connections: HttpConnections | None = None
        self._one_page = asyncio.Lock()
        # The last answer, and its time by the event loop's clock.
        self._last_reason: tuple[float, str | None] = (-math.inf, None)
        application = web.Application(middlewares=[self._note_request])
        application.router.add_get("/", self._front)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        self._live = None
        if live is not None:
            self._live = LivePage(live, settings, self._ends_at, is_inside=path is not None)
            application.router.add_routes(self._live.routes())
        self._runner = web.AppRunner(
            application, access_log=None, logger=AIOHTTP_LOGGER, handle_signals=False, shutdown_timeout=0.5
        )

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
        handlers = self._runner.server
        assert handlers is not None  # noqa: S101 - it was set up above
        self._connections = HttpConnections(handlers, self._settings.header_timeout_s)
        try:
            self._server = await asyncio.get_running_loop().create_server(self._connections, host, port)
        except OSError as error:
            await self._runner.cleanup()
            raise cannot_bind(error, host, port, "--http-port") from error
        self.port = port_of(self._server.sockets[0])

    async def stop(self) -> None:
        """Close the port and its connections."""
        if self._live is not None:
            self._live.stop()
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    @web.middleware
    async def _note_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._connections is not None:
            self._connections.request_came(request.transport)
        try:
            return await handler(request)
        except (ConnectionError, web.HTTPException):
            raise
        except Exception:
            logger.exception("a page failed unexpectedly")
            return web.Response(status=500, text="internal error: the gateway's log has more\n")

    def _ends_at(self, request: web.Request) -> float:
        return 0.0 if self._connections is None else self._connections.ends_at(request.transport)

    async def _front(self, _: web.Request) -> web.Response:
        """Tell somebody who opens the port in a browser what is here, and where players go."""
        reason = await self._not_ready()
        shown = _PAGES if self._live is None else _PAGES | {"/live": "who plays, in a browser"}
        pages = [f"  {path:<10}{what}" for path, what in shown.items()]
        ports = [f"  port {port:<7}{what}" for port, what in self._players_ports() if port]
        lines = [
            f"This is a NitroGen gateway. It is {'ready' if reason is None else f'not ready: {reason}'}.",
            "",
            "For operators, on this port:",
            *pages,
            "",
            "For players:",
            *ports,
        ]
        return web.Response(text="\n".join(lines) + "\n")

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def is_ready(self, within_s: float) -> bool:
        """Return whether /readyz says 200; False if that is unknown after `within_s` seconds."""
        try:
            async with asyncio.timeout(within_s):
                return await self._not_ready() is None
        except TimeoutError:
            return False

    async def _not_ready(self) -> str | None:
        """Return why players should not come now, or None."""
        now = asyncio.get_running_loop().time()
        if now - self._last_reason[0] > _READY_FOR_S:
            self._last_reason = now, await self._ready()
        return "stopping" if self.draining else self._last_reason[1]

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = await self._not_ready()
        text, status = ("ready", 200) if reason is None else (reason, 503)
        return web.Response(text=f"{text}\n", status=status)

    async def _metrics(self, _: web.Request) -> web.Response:
        async with self._one_page:
            # Let others have the event loop between two pages.
            await asyncio.sleep(0)
            page = await self._exposition()
        return web.Response(
            body=page,
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )
