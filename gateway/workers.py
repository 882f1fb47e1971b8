"""Several worker processes that share the ports (`--workers`), and the process that supervises them.

Each worker is a whole gateway. All listen on the same ports, and the kernel distributes the connections
(SO_REUSEPORT). A worker that dies is started again while the others go on. This process serves health and
metrics of all, from the workers' own pages on Unix sockets.
"""

import asyncio
import contextlib
import json
import logging
import socket
import tempfile
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from gateway.child import GatewayChild
from gateway.errors import StartError
from gateway.ports.all_ports import PORTS
from gateway.ports.http.server import HttpServer
from gateway.ports.sockets import cannot_bind, port_of
from gateway.settings import GatewaySettings
from gateway.telemetry.live_snapshots import Snapshot, Wanted, merged
from gateway.telemetry.merged import merge_expositions

logger = logging.getLogger(__name__)

_ASK_WITHIN_S = 5.0


class Workers:
    """The worker processes of one gateway."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._children: dict[str, GatewayChild] = {}
        # The worker of each player on the live page, by the players' ids.
        self._with_player: dict[str, str] = {}
        # The open ports for players, once started, by their names; 0 for one that is off.
        self.port_numbers = {port.name: 0 for port in PORTS}
        self._http = HttpServer(
            self._ready,
            self._exposition,
            lambda: [(self.port_numbers[port.name], port.purpose) for port in PORTS],
            settings,
            live=None if settings.live == "off" else self,
        )

    @property
    def http_port(self) -> int:
        """The number of the HTTP port, once started."""
        return self._http.port

    async def start(self) -> None:
        """Start all workers, and wait until each listens.

        Raises:
            StartError: a port cannot be bound, or a worker does not start; then none is left running.
        """
        settings = self._settings
        async with contextlib.AsyncExitStack() as undo:
            for port in PORTS:
                number = port.number(settings)
                if number is not None:
                    reserved = undo.enter_context(_reserved(settings.host, number, port.flag))
                    self.port_numbers[port.name] = port_of(reserved)
            self._folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="nitrogen-gateway-")))
            undo.push_async_callback(self._stop_workers)
            ports = {port.field: self.port_numbers[port.name] or None for port in PORTS}
            each = settings.model_copy(update={**ports, "drain_delay_s": 0.0})
            for name in map(str, range(settings.workers)):
                self._children[name] = GatewayChild(f"worker {name}", each, self._socket_of(name))
            await asyncio.gather(*(child.start() for child in self._children.values()))
            await self._http.start()
            self._resources = undo.pop_all()

    async def keep_running(self) -> None:
        """Start each worker again whenever it dies; runs until cancelled.

        Raises:
            StartError: a worker dies again and again, and no other is alive.
        """
        keepers = [asyncio.create_task(self._keep(child)) for child in self._children.values()]
        try:
            await asyncio.gather(*keepers)
        finally:
            for keeper in keepers:
                keeper.cancel()

    async def stop(self) -> None:
        """Let the workers finish requests in flight, as one gateway would, and end them."""
        self._http.draining = True
        await asyncio.sleep(self._settings.drain_delay_s)
        await self._resources.aclose()
        await self._http.stop()

    async def snapshot(self, wanted: Wanted) -> Snapshot:
        """Return what the live page shows: all workers' players, and the chosen one from its worker."""
        names = None if wanted.has_players else [self._with_player.get(wanted.chosen, "")]
        pages = await self._pages(f"/live/snapshot?{urlencode(asdict(wanted))}", names)
        found = {name: json.loads(text) for name, (status, text) in pages.items() if status == 200}
        if wanted.has_players:
            self._with_player = {
                player["id"]: name for name, part in found.items() for player in part.get("players", [])
            }
        return merged(list(found.values()))

    async def _keep(self, child: GatewayChild) -> None:
        while True:
            try:
                await child.keep_running()
            except StartError as error:
                if not any(other.is_running for other in self._children.values()):
                    raise
                logger.error("%s; the other workers go on, and this one will be tried again", error)

    async def _stop_workers(self) -> None:
        await asyncio.gather(*(child.stop() for child in self._children.values()))

    def _socket_of(self, name: str) -> Path:
        return self._folder / f"{name}.socket"

    async def _pages(self, path: str, of: Collection[str] | None = None) -> dict[str, tuple[int, str]]:
        """Return one page of each worker that answers: status and text, by the worker's name.

        Args:
            path: the page's.
            of: the workers to ask, None for all.
        """
        names = [
            name for name, child in self._children.items() if child.is_running and (of is None or name in of)
        ]
        found = await asyncio.gather(*(self._page(name, path) for name in names))
        return {name: page for name, page in zip(names, found, strict=True) if page is not None}

    async def _page(self, name: str, path: str) -> tuple[int, str] | None:
        connector = aiohttp.UnixConnector(str(self._socket_of(name)))
        timeout = aiohttp.ClientTimeout(total=_ASK_WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://worker{path}") as response,
            ):
                return response.status, await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def _ready(self) -> str | None:
        """Return None if a worker is ready, else why none is."""
        pages = await self._pages("/readyz")
        if any(status == 200 for status, _ in pages.values()):
            return None
        return next((text.strip() for _, text in pages.values()), "no worker is running")

    async def _exposition(self) -> bytes:
        pages = await self._pages("/metrics")
        return merge_expositions({name: text for name, (_, text) in sorted(pages.items())})


def _reserved(host: str, port: int, flag: str) -> socket.socket:
    """Bind a port that the workers share, to keep it while none of them runs."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # Without SO_REUSEPORT, to find out whether another program has the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        reserved = socket.socket(family, kind, protocol)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError as error:
        raise cannot_bind(error, host, port, flag) from error
    return reserved


async def run_workers(
    settings: GatewaySettings, stop: asyncio.Event, on_ready: Callable[[Workers], None]
) -> None:
    """Run a gateway of several processes until `stop` is set; `on_ready` is called once all listen.

    Raises:
        StartError: a port cannot be bound, a worker does not start, or all die again and again.
    """
    workers = Workers(settings)
    await workers.start()
    try:
        on_ready(workers)
        keeping, stopping = asyncio.create_task(workers.keep_running()), asyncio.create_task(stop.wait())
        await asyncio.wait((keeping, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if keeping.done():
            keeping.result()
        keeping.cancel()
        await asyncio.wait((keeping,))
    finally:
        await workers.stop()
