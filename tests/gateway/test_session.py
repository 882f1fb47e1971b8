"""Sessions and the embedded gateway: order, deadlines and limits, with inference times set by the test.

A real Triton serves them; a request's game is how many hundredths of a second its inference takes (see
`timed_triton`).
"""

import asyncio
import json
import pickle
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import zmq
import zmq.asyncio

from gateway.contexts import FrameContext
from gateway.data_plane import DataPlane
from gateway.errors import RequestError, TritonUnavailableError
from gateway.protocol.messages import Image, Pixels, RawFrame, Reply, Request
from gateway.server import Gateway
from gateway.settings import GatewaySettings
from gateway.telemetry.metrics import Metrics
from gateway.transport.session import Session
from gateway.triton.connection import TritonConnection
from gateway.triton.registry import ModelRegistry
from tests.gateway.timed_triton import HORIZON, INFINITE, NEVER, RAISE, TimedTriton


class Client:
    """A session, and the replies that it has sent."""

    def __init__(self, plane: DataPlane, deadline_s: float = 20) -> None:
        self.replies: list[Reply] = []
        self._encoded: list[Reply] = []
        self.session = Session(
            plane,
            FrameContext(),
            Metrics().port("zmq"),
            encode=self._encode,
            deadline_s=deadline_s,
            on_progress=lambda: None,
        )

    def _encode(self, reply: Reply) -> bytes:
        self._encoded.append(reply)
        return str(len(self._encoded) - 1).encode()

    def submit(self, incoming: Any, **options: bool) -> None:  # noqa: ANN401
        self.session.submit(incoming, lambda data: self.replies.append(self._encoded[int(data)]), **options)

    def predict(self, image: Image, game: int = 0) -> None:
        self.submit(Request("predict", image=image, game=game))

    def seen(self) -> list[tuple[int, int, int]]:
        """Per predict: the frames that the model saw, first byte of the newest and of the oldest slot."""
        chunks = [reply.chunk for reply in self.replies if reply.chunk is not None]
        return [
            (round(chunk.j_left[0, 0] * 10), *(round(value * 255) for value in chunk.j_right[0].tolist()))
            for chunk in chunks
        ]


@pytest_asyncio.fixture
async def plane(timed_triton: TimedTriton) -> AsyncIterator[DataPlane]:
    connection = TritonConnection(timed_triton.endpoint)
    await connection.start()
    models = ModelRegistry(connection, "nitrogen")
    await models.start()
    await models.default.fresh_facts()
    plane = DataPlane(models)
    yield plane
    plane.close()
    await models.close()
    await connection.close()


def raw(value: int) -> RawFrame:
    return RawFrame(bytes([value]) * 196_608)


def large(value: int) -> Pixels:
    """An image that has to be resized, which takes its time."""
    return Pixels(np.full((1500, 1500, 3), value, np.uint8))


async def test_replies_come_in_the_order_of_the_requests(plane: DataPlane) -> None:
    client = Client(plane)
    for value, hundredths in ((1, 30), (2, 0), (3, 10), (4, 0)):
        client.predict(raw(value), hundredths)
    client.submit(RequestError("was wrong"))
    assert client.session.in_flight == 5
    await client.session.drain()
    assert [newest for _, newest, _ in client.seen()] == [1, 2, 3, 4]
    assert client.replies[4].error == "was wrong"
    assert client.session.in_flight == 0


async def test_frames_count_in_order_of_arrival_however_long_they_take_to_decode(plane: DataPlane) -> None:
    client = Client(plane)
    for value in range(1, 13):
        client.predict((large if value % 3 == 1 else raw)(value))
    await client.session.drain()
    expected = [(min(value, 3), value, value - 2 if value > 2 else 0) for value in range(1, 13)]
    assert client.seen() == expected


async def test_reset_has_its_place_in_the_order(plane: DataPlane) -> None:
    client = Client(plane)
    client.predict(large(1))
    client.predict(raw(2))
    client.submit(Request("reset"))
    client.predict(raw(3))
    await client.session.drain()
    assert [count for count, *_ in client.seen()] == [1, 2, 1]
    assert client.replies[2] == Reply()


async def test_a_frame_counts_though_its_inference_failed(plane: DataPlane) -> None:
    client = Client(plane)
    client.submit(Request("predict", image=raw(1), game="Sonic"))
    client.predict(raw(2))
    await client.session.drain()
    assert "'Sonic' is unknown" in str(client.replies[0].error)
    assert client.seen() == [(2, 2, 0)]


async def test_a_late_request_gets_an_error_and_is_cancelled_in_triton(
    plane: DataPlane, timed_triton: TimedTriton
) -> None:
    cancelled = await timed_triton.cancelled()
    client = Client(plane, deadline_s=1)
    client.predict(raw(1), NEVER)
    client.predict(raw(2))
    await client.session.drain()
    assert "no answer within 1" in str(client.replies[0].error)
    assert client.seen() == [(2, 2, 0)]
    await timed_triton.wait_until_cancelled(cancelled + 1)


async def test_a_client_that_leaves_takes_its_requests_along(
    plane: DataPlane, timed_triton: TimedTriton
) -> None:
    begun, cancelled = await timed_triton.begun(), await timed_triton.cancelled()
    client = Client(plane)
    client.predict(raw(1), NEVER)
    await timed_triton.wait_until_begun(begun + 1)
    client.session.close()
    await timed_triton.wait_until_cancelled(cancelled + 1)
    assert client.replies == []


async def test_abandoned_requests_are_answered(plane: DataPlane) -> None:
    client = Client(plane)
    client.predict(raw(1), NEVER)
    client.predict(large(2), NEVER)
    client.session.abandon(TritonUnavailableError("stopping"))
    assert [reply.error for reply in client.replies] == ["stopping", "stopping"]


@pytest.mark.parametrize("beside", [False, True])
async def test_what_nobody_foresaw_is_answered_and_logged(
    plane: DataPlane, caplog: pytest.LogCaptureFixture, beside: bool
) -> None:
    def fail() -> Request:
        raise ZeroDivisionError("of all things")

    client = Client(plane)
    client.submit(fail, beside=beside)
    client.submit(Request("reset"))
    await client.session.drain()
    assert [reply.error for reply in client.replies] == ["internal error", None]
    assert "of all things" in caplog.text


@pytest.mark.parametrize(
    ("game", "message"),
    [(INFINITE, "output actions holds values that are not finite"), (RAISE, "the model was told to raise")],
)
async def test_a_failing_inference_fails_its_own_request_only(
    plane: DataPlane, game: int, message: str
) -> None:
    client = Client(plane)
    client.predict(raw(1), game)
    client.predict(raw(2))
    await client.session.drain()
    assert message in str(client.replies[0].error)
    assert client.seen() == [(2, 2, 0)]


async def test_timing_adds_up(plane: DataPlane) -> None:
    client = Client(plane)
    client.submit(Request("predict", image=large(1), game=10, timing=True))
    await client.session.drain()
    timing = client.replies[0].timing
    assert timing is not None
    assert timing.infer_ms >= 100
    assert timing.decode_ms > 0
    assert timing.total_ms == pytest.approx(timing.decode_ms + timing.infer_ms, abs=0.01)


Started = Callable[..., Any]


@pytest_asyncio.fixture
async def start_gateway(timed_triton: TimedTriton) -> AsyncIterator[Started]:
    gateways: list[Gateway] = []

    async def start(**settings: Any) -> Gateway:  # noqa: ANN401
        ports: dict[str, Any] = {"zmq_port": 0, "tcp_port": 0, "http_port": 0, "host": "127.0.0.1"}
        gateway = Gateway(GatewaySettings(triton=timed_triton.endpoint, **ports, **settings))
        await gateway.start()
        gateways.append(gateway)
        return gateway

    yield start
    for gateway in gateways:
        await gateway.stop()


def pickled(**request: Any) -> bytes:  # noqa: ANN401
    return pickle.dumps({"type": "predict", "image": np.zeros((256, 256, 3), np.uint8), **request})


@pytest.mark.parametrize("envelope", [[], [b""]])
async def test_a_dealer_beyond_its_limit_is_refused_in_order(
    start_gateway: Started, envelope: list[bytes]
) -> None:
    gateway = await start_gateway(max_in_flight_per_client=2)
    with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(f"tcp://127.0.0.1:{gateway.zmq_port}")
        for hundredths in (50, 0, 0, 0):
            await dealer.send_multipart([*envelope, pickled(game=hundredths)])
        replies = [await asyncio.wait_for(dealer.recv_multipart(), 10) for _ in range(4)]
    assert all(reply[:-1] == envelope for reply in replies)
    outcomes = [pickle.loads(reply[-1]) for reply in replies]
    assert [outcome["status"] for outcome in outcomes] == ["ok", "ok", "error", "error"]
    assert "in flight" in outcomes[2]["message"]


async def test_tcp_beyond_its_limit_waits_instead(start_gateway: Started) -> None:
    gateway = await start_gateway(max_in_flight_per_client=2)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.tcp_port)
    requests = [
        f'{{"type": "predict", "game": {20 - 2 * index}, "seed": {index}}}\n'.encode() + bytes(196_608)
        for index in range(10)
    ]
    writer.write(b"".join(requests))
    writer.write_eof()
    replies = [json.loads(line) for line in (await asyncio.wait_for(reader.read(), 10)).splitlines()]
    firsts = [reply["pred"]["j_left"][0][1] for reply in replies]
    noises = [
        np.random.default_rng(seed).standard_normal((HORIZON, 25), dtype=np.float32) for seed in range(10)
    ]
    assert firsts == pytest.approx([max(-1, min(1, float(noise[0, 0]))) for noise in noises], abs=6e-4)
    writer.close()
    await writer.wait_closed()


async def test_the_default_game_is_used_and_shown(start_gateway: Started) -> None:
    gateway = await start_gateway(game="game 5")
    with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as client:
        client.connect(f"tcp://127.0.0.1:{gateway.zmq_port}")
        for fields, game_id in (({}, 5), ({"game": None}, 0), ({"game": "game 3"}, 3)):
            await client.send(pickled(**fields))
            reply = pickle.loads(await client.recv())
            assert round(float(reply["pred"]["j_right"][1, 0]) * 255) == game_id
        await client.send(pickle.dumps({"type": "info"}))
        assert pickle.loads(await client.recv())["info"]["selected_game"] == "game 5"


async def test_stop_answers_what_is_in_flight(start_gateway: Started, timed_triton: TimedTriton) -> None:
    gateway = await start_gateway()
    begun = await timed_triton.begun()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.tcp_port)
    idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", gateway.tcp_port)
    with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as client:
        client.connect(f"tcp://127.0.0.1:{gateway.zmq_port}")
        await client.send(pickled(game=NEVER))
        writer.write(b'{"type": "predict", "game": 50}\n' + bytes(196_608))
        await timed_triton.wait_until_begun(begun + 2)
        await asyncio.wait_for(gateway.stop(), 10)
        assert "stopping" in pickle.loads(await client.recv())["message"]
    assert json.loads(await reader.readline())["status"] == "ok"
    assert await reader.read() == b""
    assert "stopping" in json.loads(await idle_reader.readline())["message"]
    assert await idle_reader.read() == b""
    for open_writer in (writer, idle_writer):
        open_writer.close()
        await open_writer.wait_closed()


async def test_a_port_in_use_leaves_nothing_open(start_gateway: Started, timed_triton: TimedTriton) -> None:
    first = await start_gateway()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with pytest.raises(Exception, match=f"port {first.http_port} is in use"):
        await start_gateway_on(timed_triton.endpoint, free, first.http_port)
    socket.create_server(("127.0.0.1", free)).close()


async def start_gateway_on(triton: str, zmq_port: int, http_port: int) -> None:
    settings = GatewaySettings(
        triton=triton, host="127.0.0.1", zmq_port=zmq_port, tcp_port=0, http_port=http_port
    )
    await Gateway(settings).start()
