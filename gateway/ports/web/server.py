"""Port 5557: the play page and WebSockets, who may connect, how many, and for how long."""

import http
import logging
import socket

from aiohttp import hdrs, web

from gateway.ports.connection_server import MAX_REFUSED, ConnectionServer
from gateway.ports.http_requests import AIOHTTP_LOGGER
from gateway.ports.origins import Origins
from gateway.ports.port import Services
from gateway.ports.sockets import end_by_reset, tls_context
from gateway.ports.static_files import PAGES, StaticFiles
from gateway.ports.token import is_token, read_token
from gateway.ports.web.connection import WebConnection
from gateway.ports.web.player import Messages, Player
from gateway.protocol.web.openpi import PolicyMessages
from gateway.protocol.web.play import PlayMessages

logger = logging.getLogger(__name__)

PLAY = "/play"
HEALTHZ = "/healthz"

_SCHEMES = ("api-key", "bearer")


class WebServer(ConnectionServer[WebConnection]):
    """Serves browsers and openpi's clients; each WebSocket has its own session and frame context."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        token = read_token(settings.web_token_file, "--web-token-file")
        metrics = services.metrics.port("web", "anonymous" if token is None else "authorised")
        tls = tls_context(settings.web_tls_cert, settings.web_tls_key, "--web-tls-cert")
        super().__init__(settings, metrics, tls)
        self._token = token
        self._service = services.of_port(metrics, settings.web_deadline_s)
        self._origins = Origins(settings.origins)
        self._pages = StaticFiles({"": PAGES / "play", "/common": PAGES / "common"})
        self._by_handler: dict[object, WebConnection] = {}
        self.metrics.count_clients_by(lambda: sum(one.player is not None for one in self._connections))

    async def start(self, listener: socket.socket) -> None:
        """Begin to serve a listening socket's connections, in the running event loop."""
        self._http = web.Server(self._handle, access_log=None, logger=AIOHTTP_LOGGER, lingering_time=0)
        await super().start(listener)

    async def stop(self, grace_s: float) -> None:
        """Take no more requests, give those in flight `grace_s` seconds, answer the rest with an error."""
        await super().stop(grace_s)
        await self._http.shutdown(0)

    def _enter(self, accepted: socket.socket, address: str, port: int) -> WebConnection | None:
        refusal = self._connections.refusal(address)
        if refusal is not None:
            self.metrics.refused(refusal.reason)
            logger.info("a connection from %s is refused: %s", address, refusal.sentence)
            if self._tls is not None or len(self._refused) >= MAX_REFUSED:
                end_by_reset(accepted, wanted=True)
                return None
        connection = WebConnection(
            self._http(), self.settings, self.metrics, address, port, refusal, self._closed
        )
        if refusal is None:
            self._connections.add(connection, address)
        else:
            self._refused.add(connection)
        self._by_handler[connection.handler] = connection
        return connection

    def _closed(self, connection: WebConnection) -> None:
        """Count a connection as closed."""
        self._by_handler.pop(connection.handler, None)
        super()._closed(connection)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request, which may become a WebSocket."""
        connection = self._by_handler.get(request.protocol)
        if connection is None:
            raise ConnectionResetError
        connection.request_came()
        try:
            return await self._answer(request, connection)
        except (ConnectionError, web.HTTPException):
            raise
        except Exception:
            logger.exception("a request failed unexpectedly")
            return _told(http.HTTPStatus.INTERNAL_SERVER_ERROR, "internal error: the gateway's log has more")
        finally:
            connection.request_answered()

    async def _answer(self, request: web.BaseRequest, connection: WebConnection) -> web.StreamResponse:
        if connection.refusal is not None:
            is_stranger = connection.refusal.reason == "network"
            status = http.HTTPStatus.FORBIDDEN if is_stranger else http.HTTPStatus.SERVICE_UNAVAILABLE
            return _told(status, connection.refusal.sentence)
        if request.path == HEALTHZ:
            return web.Response(text="OK\n")
        is_websocket = request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"
        if (told := self._objection(request, is_websocket=is_websocket)) is not None:
            return told
        if not is_websocket:
            if request.path == PLAY:
                return _told(http.HTTPStatus.UPGRADE_REQUIRED, "this is for WebSockets: open / in a browser")
            return self._pages.response(request)
        settings = self.settings
        messages: Messages
        if request.path == PLAY:
            messages = PlayMessages(
                max_header_bytes=settings.max_header_bytes,
                max_header_depth=settings.max_header_depth,
                max_image_bytes=settings.max_image_bytes,
            )
        else:
            messages = PolicyMessages(settings.max_message_bytes)
        connection.player = Player(
            self._service,
            settings,
            messages,
            connection.times,
            connection.arrival,
            address=connection.address,
            client=f"{connection.address}:{connection.port}",
        )
        try:
            return await connection.player.play(request)
        finally:
            connection.player = None

    def _objection(self, request: web.BaseRequest, *, is_websocket: bool) -> web.Response | None:
        """Return the response to a request that is not allowed, None if it is."""
        host = request.headers.get(hdrs.HOST, "")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None:
            problem, reason = self._origins.origin_problem(origin, host), "origin"
        else:
            # No browser opens a WebSocket without an origin.
            problem, reason = None if is_websocket else self._origins.host_problem(host), "host"
        if problem is not None:
            self.metrics.refused(reason)
            logger.info("%s is refused: %s", request.remote, problem)
            return _told(http.HTTPStatus.FORBIDDEN, problem)
        if (is_websocket or request.path == PLAY) and not self._has_token(request):
            self.metrics.refused("token")
            return _told(
                http.HTTPStatus.UNAUTHORIZED,
                "this port wants a token: send the header `Authorization: Bearer ...` or `Api-Key ...`, or "
                "open the page with ?token=...; its operator has the token",
            )
        return None

    def _has_token(self, request: web.BaseRequest) -> bool:
        if self._token is None:
            return True
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        candidates = [given.strip()] if scheme.lower() in _SCHEMES else []
        for one in request.query.getall("token", []):
            # In a URL, a plus sign means a blank, but somebody may have typed it as it is.
            candidates += [one, one.replace(" ", "+")]
        return any(is_token(one, self._token) for one in candidates)


def _told(status: http.HTTPStatus, sentence: str) -> web.Response:
    """Return a refusal, after which the connection is closed."""
    response = web.Response(status=status, text=f"{sentence}\n")
    response.force_close()
    return response
