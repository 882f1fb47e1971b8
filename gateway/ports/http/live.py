"""`/live` on port 8080: a page that shows who plays, from server-sent events.

The next events of an onlooker are made when the last ones are out: one who reads slowly sees fewer pictures,
and delays nobody. A worker gives its part to the parent process, over its Unix socket, and the parent serves
the page.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from aiohttp import hdrs, web

from gateway.ports.addresses import is_loopback
from gateway.ports.origins import Origins
from gateway.ports.static_files import PAGES, StaticFiles
from gateway.settings import GatewaySettings
from gateway.telemetry.live_snapshots import Snapshot, Wanted

logger = logging.getLogger(__name__)

# At most five pictures a second; the list of players comes with every fifth.
_EVERY_S = 0.2
_LIST_EVERY = 5
# The events end properly this long before the port closes their connection; a browser then reconnects.
_BEFORE_THE_END_S = 1.0
_MAX_ONLOOKERS = 8
_MAX_ID_CHARACTERS = 32
_FORWARDED = (hdrs.FORWARDED, hdrs.X_FORWARDED_FOR, "X-Real-IP")
_HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",  # for a proxy that would hold the events back
}


class LiveSource(Protocol):
    """Gives the page its contents: a gateway, or several workers."""

    async def snapshot(self, wanted: Wanted) -> Snapshot:
        """Return what is known now, as plain values."""


class LivePage:
    """The page and its events.

    Args:
        source: gives the contents.
        settings: the gateway's.
        ends_at: returns when a request's connection will be closed, by the event loop's clock.
        is_inside: whether it serves only the parent process.
    """

    def __init__(
        self,
        source: LiveSource,
        settings: GatewaySettings,
        ends_at: Callable[[web.Request], float],
        *,
        is_inside: bool,
    ) -> None:
        self._source = source
        self._ends_at = ends_at
        self._only_local = settings.live == "local"
        self._is_inside = is_inside
        self._origins = Origins(settings.origins)
        self._onlookers = 0
        self._is_stopped = False
        self._files = StaticFiles({"/live": PAGES / "live", "/common": PAGES / "common"})

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the routes to add to the port's application."""
        if self._is_inside:
            return [web.get("/live/snapshot", self._snapshot)]
        return [
            web.get("/live/events", self._events),
            web.get("/live", self._file),
            web.get("/live/{name:.*}", self._file),
            web.get("/common/{name:.*}", self._file),
        ]

    def stop(self) -> None:
        """End all onlookers' events."""
        self._is_stopped = True

    async def _file(self, request: web.Request) -> web.Response:
        return self._refusal(request) or self._files.response(request)

    async def _snapshot(self, request: web.Request) -> web.Response:
        wanted = Wanted(
            request.query.get("chosen", ""),
            int(request.query.get("known_change", "0")),
            request.query.get("has_players") == "True",
        )
        return web.json_response(await self._source.snapshot(wanted))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if self._onlookers >= _MAX_ONLOOKERS:
            return web.Response(
                status=503, text=f"{_MAX_ONLOOKERS} pages are open already: close one, or try again later\n"
            )
        self._onlookers += 1
        response = web.StreamResponse(headers=_HEADERS)
        response.force_close()
        try:
            await response.prepare(request)
            chosen = request.query.get("player", "")[:_MAX_ID_CHARACTERS]
            await self._send(response, chosen, self._ends_at(request) - _BEFORE_THE_END_S)
        except OSError as error:
            logger.debug("an onlooker has left: %s", error)
        finally:
            self._onlookers -= 1
        return response

    async def _send(self, response: web.StreamResponse, chosen: str, end: float) -> None:
        """Send what is new, five times a second, until the onlooker must reconnect."""
        loop = asyncio.get_running_loop()
        known_change = turn = 0
        while loop.time() < end and not self._is_stopped:
            wanted = Wanted(chosen, known_change, has_players=turn % _LIST_EVERY == 0)
            snapshot = await self._source.snapshot(wanted)
            shown = snapshot.pop("chosen", None)
            if snapshot:
                await response.write(_event("players", snapshot))
            if shown is not None:
                known_change = shown["change"]
                await response.write(_event("chosen", shown))
            turn += 1
            await asyncio.sleep(_EVERY_S)

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Return why this client may not look, or None."""
        origin = request.headers.get(hdrs.ORIGIN)
        problem = (
            self._origins.host_problem(request.host)
            if origin is None
            else self._origins.origin_problem(origin, request.host)
        )
        if problem is None and self._only_local and not self._is_local(request):
            through = " through a proxy" if _is_forwarded(request) else ""
            problem = (
                "the live page is for this machine's own addresses, and you come from "
                f"{request.remote}{through}: its operator may start the gateway with --live all"
            )
        return None if problem is None else web.Response(status=403, text=f"{problem}\n")

    @staticmethod
    def _is_local(request: web.Request) -> bool:
        ends = [request.get_extra_info(name) for name in ("peername", "sockname")]
        is_near = all(ends) and is_of_this_machine(*(str(end[0]) for end in ends))
        return is_near and not _is_forwarded(request)


def _is_forwarded(request: web.Request) -> bool:
    """Return whether a proxy says that it passes on somebody's request."""
    return any(name in request.headers for name in _FORWARDED)


def is_of_this_machine(peer: str, own: str) -> bool:
    """Return whether a connection from one address to another comes from the machine that it came to."""
    return is_loopback(peer) or peer == own


def _event(name: str, data: Snapshot) -> bytes:
    # It is ASCII without line ends, so no name can break the event.
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
