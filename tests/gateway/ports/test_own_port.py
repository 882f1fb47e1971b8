"""A port of this file's own: all that a new port needs is a server, an entry and, for its number, a setting.

It speaks lines of one word, `info` or `predict` (a black frame), and answers each with a line of JSON.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest_asyncio

from gateway.commands import check
from gateway.contexts import Context
from gateway.errors import StoppingError
from gateway.ports.acceptor import Acceptor
from gateway.ports.all_ports import PORTS
from gateway.ports.open_connections import OpenConnections
from gateway.ports.port import Port, Services
from gateway.ports.watch import watch_connections
from gateway.protocol.json_format import reply_json
from gateway.protocol.messages import RawFrame, Reply, Request, RequestType
from gateway.server import Gateway
from gateway.session.pending_request import PendingRequest
from gateway.session.session import Session
from gateway.settings import GatewaySettings, PortOrOff, Seconds
from gateway.telemetry.recording_format import is_recording, read_recording
from tests.black_frame import FRAME
from tests.gateway.ports.zmq.peers import metric, until
from tests.pages import page
from tests.stand_ins.timed_triton import HORIZON, TimedTriton

# The setting, the server, and the entry


class LineSettings(GatewaySettings):
    """The port's number, and a setting of its own."""

    line_port: PortOrOff = 0
    line_deadline_s: Seconds = 5.0


class LineServer:
    """Serves the port."""

    def __init__(self, services: Services) -> None:
        assert isinstance(services.settings, LineSettings)
        self.settings = services.settings
        self.metrics = services.metrics.port("line")
        self.service = services.of_port(self.metrics, services.settings.line_deadline_s)
        self.connections: OpenConnections[LineConnection] = OpenConnections(services.settings)
        self.metrics.count_clients_by(lambda: len(self.connections))

    async def start(self, listener: socket.socket) -> None:
        self._acceptor = Acceptor(listener, self._enter, lambda one, _: self.connections.remove(one))
        self._watch = asyncio.create_task(
            watch_connections(lambda: list(self.connections), self.settings, 2**20)
        )

    async def stop(self, grace_s: float) -> None:
        self._watch.cancel()
        await self._acceptor.close()
        for one in list(self.connections):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(one.session.drain(), grace_s)
            one.session.abandon(StoppingError("the gateway is stopping"))
            one.transport.close()

    def _enter(self, _: socket.socket, address: str, port: int) -> "LineConnection | None":
        refusal = self.connections.refusal(address)
        if refusal is not None:
            self.metrics.refused(refusal.reason)
            return None
        connection = LineConnection(self, address, port)
        self.connections.add(connection, address)
        return connection


class LineConnection(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: LineServer, address: str, port: int) -> None:
        self._server = server
        self._received = b""
        self.session = Session(
            server.service,
            Context(),
            address=address,
            client=f"{address}:{port}",
            on_progress=lambda: None,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.session.close()
        self._server.connections.remove(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            kind = cast(RequestType, line.decode())
            request = Request(kind, RawFrame(FRAME) if kind == "predict" else None)
            self.session.submit(PendingRequest(self.transport.write, _line), request)

    @property
    def held_bytes(self) -> int:
        return len(self._received)

    def check_times(self, now: float) -> None:
        """Nothing is too slow for a test."""

    def cut(self) -> None:
        self.transport.abort()


def _line(reply: Reply) -> bytes:
    return reply_json(reply) + b"\n"


LINE = Port("line", "tests: a word a line", "Line server running on port {}", LineServer)

# What the gateway then does with it


@pytest_asyncio.fixture
async def gateway(timed_triton: TimedTriton, tmp_path: Path) -> AsyncIterator[Gateway]:
    settings: dict[str, Any] = {
        "zmq_port": None,
        "tcp_port": 0,
        "web_port": 0,
        "http_port": 0,
        "record": tmp_path,
    }
    gateway = Gateway(
        LineSettings(
            host="127.0.0.1", triton=timed_triton.endpoint, max_connections_per_address=2, **settings
        ),
        ports=(*PORTS, LINE),
    )
    await gateway.start()
    yield gateway
    await gateway.stop()


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(gateway: Gateway) -> Client:
    return await asyncio.open_connection("127.0.0.1", gateway.port_numbers["line"])


async def ask(client: Client, word: str) -> dict[str, Any]:
    client[1].write(f"{word}\n".encode())
    async with asyncio.timeout(15):
        reply: dict[str, Any] = json.loads(await client[0].readline())
    return reply


async def test_a_port_of_ones_own_is_served_like_the_others(gateway: Gateway, tmp_path: Path) -> None:
    client = await connect(gateway)
    assert (await ask(client, "info"))["info"]["model"] == "nitrogen"
    assert len((await ask(client, "predict"))["pred"]["buttons"]) == HORIZON
    # On the front page.
    front = (await asyncio.to_thread(page, gateway.http_port, "/"))[1]
    assert f"port {gateway.port_numbers['line']}  tests: a word a line" in front
    assert "ZeroMQ" not in front
    # In the metrics.
    assert metric(gateway, 'nitrogen_gateway_clients{access="anonymous",port="line"}') == 1
    for kind in ("info", "predict"):
        labels = f'access="anonymous",outcome="ok",port="line",type="{kind}"'
        assert metric(gateway, f"nitrogen_gateway_requests_total{{{labels}}}") == 1
    # In the recordings, which are counted, and read.
    await until(lambda: gateway.metrics.recordings.written == 1, "the predict is recorded")
    (recorded,) = tmp_path.glob("*")  # noqa: ASYNC240 - a moment
    assert is_recording(recorded.name)
    assert read_recording(recorded).fields["port"] == "line"
    client[1].close()


async def test_the_limits_of_every_port_hold_for_it(gateway: Gateway) -> None:
    two = [await connect(gateway) for _ in range(2)]
    for client in two:
        assert (await ask(client, "reset"))["status"] == "ok"
    third = await connect(gateway)
    async with asyncio.timeout(15):
        assert await third[0].read() == b""
    assert metric(gateway, 'nitrogen_gateway_refused_total{port="line",reason="connections"}') == 1
    for client in (*two, third):
        client[1].close()


async def test_it_is_stopped_with_the_others(gateway: Gateway) -> None:
    client = await connect(gateway)
    assert (await ask(client, "reset"))["status"] == "ok"
    number = gateway.port_numbers["line"]
    await gateway.stop()
    async with asyncio.timeout(15):
        assert await client[0].read() == b""
    client[1].close()
    socket.create_server(("127.0.0.1", number)).close()


async def test_it_can_be_off(timed_triton: TimedTriton) -> None:
    settings = LineSettings(
        host="127.0.0.1",
        triton=timed_triton.endpoint,
        zmq_port=0,
        tcp_port=None,
        web_port=None,
        http_port=0,
        line_port="off",
    )
    gateway = Gateway(settings, ports=(*PORTS, LINE))
    await gateway.start()
    assert gateway.port_numbers == {"zmq": gateway.port_numbers["zmq"], "tcp": 0, "web": 0, "line": 0}
    await gateway.stop()


def test_every_port_of_the_gateway_has_its_settings_and_its_check() -> None:
    assert list(check.CHECKS) == [*(port.name for port in PORTS), "http"]
    for port in PORTS:
        assert port.number(GatewaySettings()) == {"zmq": 5555, "tcp": 5556, "web": 5557}[port.name]
