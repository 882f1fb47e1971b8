"""Several worker processes behind one set of ports (`--workers`), and the process that looks after them.

Each worker is a whole gateway. They listen on the same two ports, between which the kernel shares out the
connections (SO_REUSEPORT); a worker that dies is started again while the others go on. Health and metrics of
all are served here, from the workers' own pages on Unix sockets.
"""

import asyncio
import contextlib
import json
import logging
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import aiohttp

from gateway.errors import StartError
from gateway.settings import GatewaySettings
from gateway.telemetry.http_server import HttpServer
from gateway.telemetry.merged import merge_expositions
from gateway.transport.listening import cannot_bind

logger = logging.getLogger(__name__)

# A worker gets longer to stop than it gives its requests, and all together less than ten seconds.
_STOP_WITHIN_S = 9.0
_PAUSE_S = 1.0
_ASK_WITHIN_S = 5.0


class Workers:
    """The worker processes of one gateway."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._ports = {"--zmq-port": 0, "--tcp-port": 0}
        self._http = HttpServer(
            self._ready, self._exposition, lambda: (self.zmq_port, self.tcp_port), settings
        )

    @property
    def zmq_port(self) -> int:
        """The ZeroMQ port that is listened on, once started; 0 when it is off."""
        return self._ports["--zmq-port"]

    @property
    def tcp_port(self) -> int:
        """The TCP port that is listened on, once started; 0 when it is off."""
        return self._ports["--tcp-port"]

    @property
    def http_port(self) -> int:
        """The HTTP port that is listened on, once started."""
        return self._http.port

    async def start(self) -> None:
        """Start all workers, and wait until each listens.

        Raises:
            StartError: a port cannot be bound, or a worker does not start; nothing is left running then.
        """
        settings = self._settings
        async with contextlib.AsyncExitStack() as undo:
            for flag, port in (("--zmq-port", settings.zmq_port), ("--tcp-port", settings.tcp_port)):
                if port is not None:
                    reserved = contextlib.closing(_Reserved(settings.host, port, flag))
                    self._ports[flag] = undo.enter_context(reserved).port
            self._folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="nitrogen-gateway-")))
            undo.push_async_callback(self._stop_workers)
            names = [str(number) for number in range(settings.workers)]
            await asyncio.gather(*(self._start_worker(name) for name in names))
            await self._http.start()
            self._keepers = [asyncio.create_task(self._keep(name)) for name in names]
            self._resources = undo.pop_all()

    async def stop(self) -> None:
        """Let the workers finish what is in flight, as one gateway would, and end them."""
        self._http.draining = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.sleep(self._settings.drain_delay_s)
        await self._resources.aclose()
        await self._http.stop()

    async def _start_worker(self, name: str) -> None:
        """Start one worker; it gets its settings by its standard input, whose end is its sign to stop."""
        ports = {"zmq_port": self.zmq_port or None, "tcp_port": self.tcp_port or None}
        update = {**ports, "drain_delay_s": 0.0}
        settings = self._settings.model_copy(update=update)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.worker", str(self._socket_of(name))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._processes[name] = process
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - made with pipes
        process.stdin.write(settings.model_dump_json().encode() + b"\n")
        line = await process.stdout.readline()
        if line != b"ready\n":
            problem = json.loads(line) if line else "it ended"
            raise StartError(f"worker {name} did not start: {problem}")

    async def _keep(self, name: str) -> None:
        """Start a worker again whenever it dies."""
        while True:
            code = await self._processes[name].wait()
            logger.error("worker %s ended with exit code %d: starting it again", name, code)
            await asyncio.sleep(_PAUSE_S)
            try:
                await self._start_worker(name)
            except (StartError, OSError, ValueError) as error:
                logger.error("worker %s was not started: %s", name, error)

    async def _stop_workers(self) -> None:
        running = [process for process in self._processes.values() if process.returncode is None]
        for process in running:
            assert process.stdin is not None  # noqa: S101 - it was made with a pipe
            process.stdin.close()
        ends = [asyncio.create_task(process.wait()) for process in running]
        if ends:
            await asyncio.wait(ends, timeout=_STOP_WITHIN_S)
        for process in running:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _socket_of(self, name: str) -> Path:
        return self._folder / f"{name}.socket"

    async def _pages(self, path: str) -> dict[str, tuple[int, str]]:
        """Return a page of each worker that answers: its status and text, by the worker's name."""
        names = [name for name, process in self._processes.items() if process.returncode is None]
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
        """Return None when a worker is ready, else why none is."""
        pages = await self._pages("/readyz")
        if any(status == 200 for status, _ in pages.values()):
            return None
        return next((text.strip() for _, text in pages.values()), "no worker runs")

    async def _exposition(self) -> bytes:
        pages = await self._pages("/metrics")
        return merge_expositions({name: text for name, (_, text) in sorted(pages.items())})


class _Reserved:
    """A port that the workers share. It stays bound here, so that it is kept while none of them runs."""

    def __init__(self, host: str, port: int, flag: str) -> None:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind, protocol) as probe:
                # Without SO_REUSEPORT, to find out whether another program has the port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._socket.bind(address)
        except OSError as error:
            raise cannot_bind(error, host, port, flag) from error
        self.port = int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


async def run_workers(
    settings: GatewaySettings, stop: asyncio.Event, on_ready: Callable[[Workers], None]
) -> None:
    """Run a gateway of several processes until `stop` is set; `on_ready` is called once all listen.

    Raises:
        StartError: a port cannot be bound, or a worker does not start.
    """
    workers = Workers(settings)
    await workers.start()
    try:
        on_ready(workers)
        await stop.wait()
    finally:
        await workers.stop()
