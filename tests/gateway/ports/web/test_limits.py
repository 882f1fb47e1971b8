"""The web port's limits: how slowly, how much, how often, and what a client that breaks them loses."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgpack
import pytest

from gateway.ports import connection_server
from gateway.server import Gateway
from tests.gateway.conftest import StartGateway
from tests.gateway.ports.web.browsers import RGBA, ask, browser, metric, reply
from tests.gateway.ports.web.raw_sockets import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    RawSocket,
    frame,
    frame_head,
    raw_socket,
)
from tests.gateway.ports.zmq.peers import until
from tests.gateways import running_gateway
from tests.patience import WITHIN_S

RESET = {"type": "reset"}
RESET_FRAME = frame(TEXT, b'{"type":"reset"}')
OK = {"status": "ok"}
PREDICT = {"type": "predict", "format": "rgba"}


@asynccontextmanager
async def player_beside(gateway: Gateway) -> AsyncIterator[None]:
    """Somebody else, who gets answers before and after."""
    async with browser(gateway) as other:
        assert await ask(other, RESET) == OK
        yield
        assert await ask(other, RESET) == OK


@pytest.mark.parametrize("path", ["/play", "/"])
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_message_that_is_too_large_ends_its_connection_alone(path: str, in_pieces: bool) -> None:
    limits = {"max_header_bytes": 1000, "max_image_bytes": 10_000, "max_message_bytes": 10_000}
    async with running_gateway(**limits) as gateway, player_beside(gateway), raw_socket(gateway, path) as raw:
        if in_pieces:
            raw.send(frame(BINARY, bytes(6000), final=False), frame(0, bytes(6000)))
        else:
            raw.send(frame_head(BINARY, 10_001))
        assert await raw.closed() == 1009
        assert metric(gateway, "refused_total", reason="framing") == 1


@pytest.mark.parametrize(
    "sent",
    [
        frame(TEXT, b"x" * 20, reserved=True),  # compressed, though that was not agreed on
        frame(0, b"continued"),
        frame(TEXT, b"{", final=False) + frame(TEXT, b"}"),
        frame(PING, bytes(126)),
        frame(PING, final=False),
        frame(3),
        frame(TEXT, b"\xff"),
        frame(CLOSE, b"\x00"),
    ],
)
async def test_frames_that_are_none_end_their_connection_alone(sent: bytes) -> None:
    async with running_gateway() as gateway, player_beside(gateway), raw_socket(gateway) as raw:
        raw.send(sent)
        assert await raw.closed() in (1002, 1007)


async def test_a_flood_of_tiny_fragments_leaves_the_gateway_to_others() -> None:
    async with running_gateway() as gateway, raw_socket(gateway) as raw, browser(gateway) as other:
        raw.send(frame(TEXT, final=False), *(frame(0, b" ", final=False) for _ in range(50_000)))
        for _ in range(20):
            assert await ask(other, RESET) == OK
        raw.send(frame(0, b'{"type":"reset"}'))
        assert json.loads((await raw.receive())[1]) == OK


async def test_a_flood_of_pings_is_answered_and_nobody_waits_for_it() -> None:
    count = 20_000
    async with running_gateway() as gateway, raw_socket(gateway) as raw, browser(gateway) as other:
        raw.send(*(frame(PING, b"%05d" % number) for number in range(count)))
        for _ in range(20):
            assert await ask(other, RESET) == OK
        for number in range(count):
            assert await raw.receive() == (PONG, b"%05d" % number)


@pytest.mark.parametrize("sent", [frame(PING, bytes(125)), frame(TEXT, b'{"type":"%b"}' % (b"x" * 1000))])
async def test_a_client_that_takes_no_replies_is_dropped(sent: bytes) -> None:
    async with running_gateway(take_timeout_s=0.5) as gateway, player_beside(gateway):
        async with raw_socket(gateway) as raw:
            await asyncio.wait_for(raw.send_and_read_nothing(sent * 1000), WITHIN_S)
        assert metric(gateway, "refused_total", reason="slow_reader") == 1


async def test_a_message_that_does_not_end_is_cut() -> None:
    limits = {"request_timeout_s": 0.5}
    async with running_gateway(**limits) as gateway, player_beside(gateway), raw_socket(gateway) as raw:
        raw.send(frame(TEXT, b'{"type":', final=False))
        trickling = asyncio.create_task(_trickle(raw.writer))
        assert await raw.closed() == 1008
        trickling.cancel()


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(frame(0, b" ", final=False) + frame(PING) + frame(PONG))
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
async def test_a_request_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    async with running_gateway(header_timeout_s=0.5) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port_numbers["web"])
        writer.write(sent)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""
        writer.close()


async def test_who_does_not_shake_hands_is_no_player() -> None:
    async with running_gateway(header_timeout_s=0.5) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port_numbers["web"])
        writer.write(b"GET /play HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), WITHIN_S)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert metric(gateway, "clients", access="anonymous") == 0
        writer.close()


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"GET / HTTP/1.1\r\nX: ", b"x"),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
        (b"", b"\0\xff"),
        (b"", b'{"type":"predict"}\n'),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n", b"x"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
async def test_bytes_that_are_no_request_are_cut_before_they_are_many(first: bytes, more: bytes) -> None:
    async with running_gateway() as gateway, player_beside(gateway):
        raw = RawSocket(*await asyncio.open_connection("127.0.0.1", gateway.port_numbers["web"]))
        raw.send(first)
        async with asyncio.timeout(WITHIN_S):
            await raw.send_and_read_nothing(more * (2**20 // len(more)))
        assert metric(gateway, "refused_total", reason="framing") == 1


async def test_who_asks_nothing_for_long_is_told_so() -> None:
    async with running_gateway(idle_timeout_s=0.5) as gateway, browser(gateway) as socket_:
        assert await ask(socket_, RESET) == OK
        await asyncio.wait_for(socket_.wait_closed(), WITHIN_S)
        assert (socket_.close_code, "connect again" in (socket_.close_reason or "")) == (1001, True)


async def test_unfinished_messages_of_many_connections_are_bounded_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_server, "_MAX_ARRIVING_BYTES", 2**20)
    async with running_gateway() as gateway, player_beside(gateway):
        async with raw_socket(gateway) as small, raw_socket(gateway) as large:
            small.send(frame_head(BINARY, 2**22), bytes(2**18))
            part = frame(0, bytes(2**19), final=False)
            large.send(frame(BINARY, final=False), part, frame(PING), part, frame(PING))
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await large.closed()
            small.send(bytes(2**22 - 2**18), RESET_FRAME)
            assert json.loads((await small.receive())[1])["status"] == "error"
            assert json.loads((await small.receive())[1]) == OK
        assert metric(gateway, "refused_total", reason="memory") == 1


async def test_more_requests_than_are_taken_at_once_wait_and_come_back_in_order(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway(max_in_flight_per_client=2)
    async with browser(gateway) as socket_:
        for number in range(12):
            await socket_.send(json.dumps({**PREDICT, "id": number, "game": 12 - number}))
            await socket_.send(RGBA)
        got = [await reply(socket_) for _ in range(12)]
        assert [(one["id"], one["status"]) for one in got] == [(number, "ok") for number in range(12)]


async def test_a_flood_of_tiny_requests_leaves_the_gateway_to_others() -> None:
    async with running_gateway() as gateway, raw_socket(gateway) as raw, browser(gateway) as other:
        raw.send(RESET_FRAME * 5000)
        for _ in range(20):
            assert await ask(other, RESET) == OK
        for _ in range(5000):
            assert json.loads((await raw.receive())[1]) == OK


@pytest.mark.parametrize("path", ["/play", "/"])
async def test_wrong_requests_are_errors_and_the_next_is_answered(path: str) -> None:
    async with running_gateway() as gateway, browser(gateway, path) as socket_:
        if path == "/play":
            wrong, right = [b"stray", "no JSON", '{"type": "x"}'], json.dumps(RESET)
        else:
            assert isinstance(await socket_.recv(), bytes)
            right = msgpack.packb({"__ctrl__": "episode_start"})
            wrong = ["text", b"\xc1", msgpack.packb([])]
        for message in wrong:
            await socket_.send(message)
            assert isinstance(await asyncio.wait_for(socket_.recv(), WITHIN_S), str)
        await socket_.send(right)
        assert "error" not in str(await asyncio.wait_for(socket_.recv(), WITHIN_S))
        assert (
            metric(gateway, "requests_total", access="anonymous", type="unknown", outcome="bad_request") == 3
        )


async def test_requests_of_a_client_that_leaves_are_dropped(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    async with raw_socket(gateway) as raw:
        raw.send(frame(TEXT, json.dumps({**PREDICT, "game": 99}).encode()), frame(BINARY, RGBA))
        await until(lambda: metric(gateway, "in_flight") == 1, "the request is in flight")
    await until(lambda: metric(gateway, "dropped_total", access="anonymous") == 1, "it is dropped")
    await until(lambda: metric(gateway, "clients", access="anonymous") == 0, "the client is gone")


async def test_a_gateway_that_stops_answers_what_is_in_flight_and_says_goodbye(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway()
    async with browser(gateway) as idle, browser(gateway) as busy:
        assert await ask(idle, RESET) == OK
        await busy.send(json.dumps({**PREDICT, "game": 50}))
        await busy.send(RGBA)
        await until(lambda: metric(gateway, "in_flight") == 1, "the request is in flight")
        stopping = asyncio.create_task(gateway.stop())
        assert (await reply(busy))["status"] == "ok"
        for socket_ in (idle, busy):
            await asyncio.wait_for(socket_.wait_closed(), WITHIN_S)
            assert (socket_.close_code, "is stopping" in (socket_.close_reason or "")) == (1001, True)
        await stopping
