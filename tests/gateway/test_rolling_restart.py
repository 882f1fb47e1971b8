"""Two gateways behind a load balancer are restarted one after the other, and players go on playing."""

import asyncio
import contextlib
import json
import pickle
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
import zmq
import zmq.asyncio

from tests.black_frame import PIXELS, PREDICT
from tests.patience import WITHIN_S
from tests.stack import free_port
from tests.stand_ins.timed_triton import TimedTriton

pytestmark = pytest.mark.slow

# How long a gateway that is to stop says so before it closes its ports: longer than the balancer's period.
DRAIN_DELAY_S = 1.0
PERIOD_S = 0.2


@dataclass
class Member:
    """A gateway process and its ports."""

    zmq: int
    tcp: int
    http: int
    process: asyncio.subprocess.Process | None = None

    async def start(self, triton: str) -> None:
        """Start the gateway and wait until it is ready."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", f"--triton={triton}", "--host=127.0.0.1"),
            *(f"--zmq-port={self.zmq}", f"--tcp-port={self.tcp}", "--web-port=0", f"--http-port={self.http}"),
            *(f"--drain-delay-s={DRAIN_DELAY_S}", "--log-level=warning"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(WITHIN_S):
            while not await self.is_ready():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        """Send SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), DRAIN_DELAY_S + 10)

    async def is_ready(self) -> bool:
        """Return what a load balancer asks."""
        with contextlib.suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.http}/readyz") as response,
            ):
                return response.status == 200
        return False


class Balancer:
    """Hands each new connection to the next of the gateways that say that they are ready."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self._ready: list[Member] = list(members)
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[int, int]]:
        """Balance on two ports of its own: for ZeroMQ and for TCP."""
        asking = asyncio.create_task(self._ask())
        ports = free_port(), free_port()
        servers = [
            await asyncio.start_server(self._connected_to(kind), "127.0.0.1", port)
            for kind, port in zip(("zmq", "tcp"), ports, strict=True)
        ]
        yield ports
        asking.cancel()
        for server in servers:
            server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(asking, *self._tasks, return_exceptions=True)

    async def _ask(self) -> None:
        while True:
            self._ready = [member for member in self._members if await member.is_ready()]
            await asyncio.sleep(PERIOD_S)

    def _connected_to(self, kind: str):  # noqa: ANN202 - a callback of asyncio's
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._turn += 1
            self._writers.add(writer)
            with contextlib.suppress(OSError):
                member = self._ready[self._turn % len(self._ready)] if self._ready else self._members[0]
                reader_there, writer_there = await asyncio.open_connection("127.0.0.1", getattr(member, kind))
                self._writers.add(writer_there)
                await asyncio.gather(_copy(reader, writer_there), _copy(reader_there, writer))
                self._writers.discard(writer_there)
            writer.close()
            self._writers.discard(writer)

        return serve


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(2**16):
            target.write(data)
            await target.drain()
    target.close()


@dataclass
class Tally:
    """A player's replies."""

    actions: int = 0
    told: int = 0
    lost: int = 0


async def play_zmq(port: int, tally: Tally, over: asyncio.Event) -> None:
    with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.sndtimeo = 1000 * WITHIN_S
        client.connect(f"tcp://127.0.0.1:{port}")
        request = pickle.dumps({"type": "predict", "image": PIXELS})
        while not over.is_set():
            await client.send(request)
            reply = pickle.loads(await asyncio.wait_for(client.recv(), WITHIN_S))
            await _count(reply, tally)


async def play_tcp(port: int, tally: Tally, over: asyncio.Event) -> None:
    """A client that connects again when the gateway said that it stops, or closed between two requests."""
    request = PREDICT
    while not over.is_set():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not over.is_set():
            writer.write(request)
            try:
                line = await asyncio.wait_for(reader.readline(), WITHIN_S)
            except ConnectionError:
                line = b""
            if not line:
                tally.lost += 1
                break
            reply = json.loads(line)
            await _count(reply, tally)
            if reply["status"] != "ok":
                break
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def _count(reply: dict[str, object], tally: Tally) -> None:
    if reply["status"] == "ok":
        tally.actions += 1
        await asyncio.sleep(0.02)  # the actions are played
    else:
        assert "stopping" in str(reply["message"])
        tally.told += 1
        await asyncio.sleep(2)  # what the message asks for


async def progress(tallies: list[Tally]) -> None:
    """Wait until every player got more actions."""
    before = [tally.actions for tally in tallies]
    async with asyncio.timeout(WITHIN_S):
        while any(tally.actions < count + 5 for tally, count in zip(tallies, before, strict=True)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_players_go_on_while_gateways_are_restarted(timed_triton: TimedTriton) -> None:
    members = [Member(free_port(), free_port(), free_port()) for _ in range(2)]
    await asyncio.gather(*(member.start(timed_triton.endpoint) for member in members))
    over = asyncio.Event()
    async with Balancer(members).running() as (zmq_port, tcp_port):
        tallies = [Tally() for _ in range(4)]
        players = [
            asyncio.create_task(play(port, tally, over))
            for play, port, tally in zip(
                (play_zmq, play_zmq, play_tcp, play_tcp),
                (zmq_port, zmq_port, tcp_port, tcp_port),
                tallies,
                strict=True,
            )
        ]
        await progress(tallies)
        for member in members:
            assert await member.stop() == 0
            await progress(tallies)
            await member.start(timed_triton.endpoint)
            await progress(tallies)
        over.set()
        await asyncio.wait_for(asyncio.gather(*players), 2 * WITHIN_S)
    codes = [await member.stop() for member in members]
    assert codes == [0, 0]
    # Each player lost at most the requests that it had under way at each of the two restarts.
    assert all(tally.told + tally.lost <= 4 for tally in tallies), tallies
