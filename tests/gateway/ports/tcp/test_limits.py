"""Port 5556's limits: who connects, how slowly, how much, and what a client that breaks them is told."""

import asyncio
import json
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import StartError
from gateway.server import Gateway
from gateway.settings import GatewaySettings
from tests.black_frame import FRAME, PREDICT
from tests.gateway.conftest import StartGateway
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import NEVER, TimedTriton


class Client:
    """One connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def line(self) -> dict[str, Any]:
        """The next line."""
        reply: dict[str, Any] = json.loads(await asyncio.wait_for(self.reader.readline(), WITHIN_S))
        return reply

    async def ask(self, message: bytes) -> dict[str, Any]:
        """Send something; the next line."""
        self.writer.write(message)
        return await self.line()

    async def ends(self) -> bool:
        """Whether the gateway closes in order, with nothing more to say."""
        return await asyncio.wait_for(self.reader.read(), WITHIN_S) == b""

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


async def connect(gateway: Gateway, **options: Any) -> Client:  # noqa: ANN401
    return Client(*await asyncio.open_connection("127.0.0.1", gateway.port_numbers["tcp"], **options))


def metric(gateway: Gateway, name: str, **labels: str) -> float:
    """The value of one of port 5556's metrics, 0 for one that is not there yet."""
    found = gateway.metrics.registry.get_sample_value(f"nitrogen_gateway_{name}", {"port": "tcp", **labels})
    return found or 0.0


@pytest.mark.parametrize(
    ("settings", "message", "reason"),
    [
        ({"max_connections_per_address": 2}, "2 connections from 127.0.0.1", "connections"),
        ({"max_clients": 2}, "2 clients already", "clients"),
    ],
)
async def test_one_connection_too_many_is_told_so(
    start_gateway: StartGateway, settings: dict[str, Any], message: str, reason: str
) -> None:
    gateway = await start_gateway(**settings)
    first, second = await connect(gateway), await connect(gateway)
    assert (await first.ask(b'{"type": "info"}\n'))["status"] == "ok"
    third = await connect(gateway)
    assert message in (await third.ask(b'{"type": "info"}\n'))["message"]
    assert await third.ends()
    assert metric(gateway, "refused_total", reason=reason) == 1
    assert (await second.ask(b'{"type": "info"}\n'))["status"] == "ok"
    for client in (first, third):
        await client.close()
    again = await connect(gateway)
    assert (await again.ask(b'{"type": "info"}\n'))["status"] == "ok"
    for client in (second, again):
        await client.close()


async def test_a_client_of_another_network_is_told_so(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(allow="10.0.0.0/8,fd00::/8")
    stranger = await connect(gateway)
    assert "may not use this gateway" in (await stranger.ask(PREDICT))["message"]
    assert await stranger.ends()
    await stranger.close()
    assert metric(gateway, "refused_total", reason="network") == 1


async def test_a_client_of_an_allowed_network_plays(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(allow="127.0.0.0/8")
    client = await connect(gateway)
    assert (await client.ask(PREDICT))["status"] == "ok"
    await client.close()


@pytest.mark.parametrize("sent", [b'{"type": ', b"123", b"\x00"])
async def test_a_header_that_does_not_end_is_cut_sooner_than_a_body(
    start_gateway: StartGateway, sent: bytes
) -> None:
    gateway = await start_gateway(header_timeout_s=0.4, request_timeout_s=60)
    slow = await connect(gateway)
    slow.writer.write(sent)
    if sent.isdigit():
        async with asyncio.timeout(WITHIN_S):
            length = int(await slow.reader.readuntil(b" "))
            reply = json.loads(await slow.reader.readexactly(length))
    else:
        reply = await slow.line()
    assert "within 0.4 s" in reply["message"]
    await slow.close()


async def test_a_sender_that_dribbles_is_cut_all_the_same(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(request_timeout_s=0.6)
    slow = await connect(gateway)
    slow.writer.write(b'{"type": "predict"}\n')
    replied = asyncio.create_task(slow.line())
    while not replied.done():
        slow.writer.write(b"\0")
        await asyncio.wait((replied,), timeout=0.05)
    assert "within 0.6 s" in replied.result()["message"]
    await slow.close()


async def test_a_client_that_takes_no_replies_is_dropped(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(take_timeout_s=0.5)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(deaf, ("127.0.0.1", gateway.port_numbers["tcp"]))

    async def ask_for_ever() -> None:
        async with asyncio.timeout(WITHIN_S):
            while True:
                await loop.sock_sendall(deaf, b'{"type": "info"}\n' * 100)

    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        await ask_for_ever()
    deaf.close()
    assert metric(gateway, "refused_total", reason="slow_reader") == 1
    assert metric(gateway, "in_flight") == 0


async def test_a_flood_of_one_client_is_not_anothers_wait(
    start_gateway: StartGateway, timed_triton: TimedTriton
) -> None:
    """The flood's inferences never end; with six at once in Triton, two of them leave room for the player."""
    gateway = await start_gateway()
    begun = await timed_triton.begun()
    flood, player = await connect(gateway), await connect(gateway)
    never = f'{{"type": "predict", "game": {NEVER}}}\n'.encode() + FRAME
    flood.writer.write(never * 20)
    await timed_triton.wait_until_begun(begun + 2)
    for _ in range(5):
        assert (await player.ask(PREDICT))["status"] == "ok"
    await flood.close()
    await player.close()


async def test_all_clients_together_are_bounded(
    start_gateway: StartGateway, timed_triton: TimedTriton
) -> None:
    gateway = await start_gateway(max_in_flight=4)
    begun = await timed_triton.begun()
    never = f'{{"type": "predict", "game": {NEVER}}}\n'.encode() + FRAME
    players = [await connect(gateway) for _ in range(3)]
    for player in players[:2]:
        player.writer.write(never)
    await timed_triton.wait_until_begun(begun + 2)
    assert "busy" in (await players[2].ask(PREDICT))["message"]
    await players[0].close()
    async with asyncio.timeout(WITHIN_S):
        while (await players[2].ask(PREDICT))["status"] != "ok":
            pass
    for player in players[1:]:
        await player.close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("s3cret-Ünicode\n")
    return path


HELLO = '{"type": "hello", "token": "s3cret-Ünicode"}\n'.encode()


async def test_with_the_token_a_client_plays(start_gateway: StartGateway, token_file: Path) -> None:
    gateway = await start_gateway(tcp_token_file=token_file)
    client = await connect(gateway)
    assert await client.ask(HELLO) == {"status": "ok"}
    assert (await client.ask(PREDICT))["status"] == "ok"
    info = await client.ask(b'{"type": "info"}\n')
    assert "s3cret" not in json.dumps(info)
    stranger = await connect(gateway)
    await stranger.ask(b'{"type": "info"}\n')
    for access, kind, outcome in (("authorised", "info", "ok"), ("anonymous", "unknown", "refused")):
        assert metric(gateway, "requests_total", access=access, type=kind, outcome=outcome) == 1
    assert metric(gateway, "clients", access="authorised") == 1
    for open_client in (client, stranger):
        await open_client.close()


@pytest.mark.parametrize(
    "first",
    [
        b'{"type": "info"}\n',
        PREDICT,
        b'{"type": "predict", "len": 30000000}\n' + FRAME,
        b'{"type": "hello", "token": "s3cret"}\n',
        b'{"type": "hello", "token": ""}\n',
        b'{"type": "hello"}\n',
        b'{"type": "hello", "token": 7}\n',
        b"nonsense\n",
    ],
)
async def test_without_the_token_a_client_gets_nothing(
    start_gateway: StartGateway, token_file: Path, first: bytes
) -> None:
    gateway = await start_gateway(tcp_token_file=token_file)
    client = await connect(gateway)
    reply = await client.ask(first + b'{"type": "info"}\n')
    assert reply["status"] == "error"
    assert await client.ends()
    await client.close()


async def test_blank_lines_do_not_put_off_the_token(start_gateway: StartGateway, token_file: Path) -> None:
    gateway = await start_gateway(tcp_token_file=token_file, header_timeout_s=0.4)
    client = await connect(gateway)

    async def send_blanks() -> None:
        while True:
            client.writer.write(b"\r\n")
            await asyncio.sleep(0.05)

    blanks = asyncio.create_task(send_blanks())
    try:
        assert "token" in (await client.line())["message"]
    finally:
        blanks.cancel()
    assert await client.ends()
    await client.close()


async def test_a_client_that_says_nothing_is_asked_for_its_token(
    start_gateway: StartGateway, token_file: Path
) -> None:
    gateway = await start_gateway(tcp_token_file=token_file, header_timeout_s=0.4)
    client = await connect(gateway)
    assert "token" in (await client.line())["message"]
    assert await client.ends()
    await client.close()


async def test_a_hello_without_need_is_welcome(start_gateway: StartGateway) -> None:
    client = await connect(await start_gateway())
    assert await client.ask(HELLO) == {"status": "ok"}
    assert (await client.ask(PREDICT))["status"] == "ok"
    await client.close()


async def test_over_tls_a_client_plays(
    start_gateway: StartGateway, certificate: tuple[Path, ssl.SSLContext], token_file: Path
) -> None:
    path, context = certificate
    gateway = await start_gateway(tcp_tls_cert=path, tcp_token_file=token_file)
    client = await connect(gateway, ssl=context)
    assert await client.ask(HELLO) == {"status": "ok"}
    for _ in range(3):
        assert (await client.ask(PREDICT))["status"] == "ok"
    assert "unknown request type" in (await client.ask(b'{"type": "dance"}\n'))["message"]
    assert await client.ends()
    await client.close()


@pytest.mark.parametrize("sent", [b'{"type": "info"}\n', b""])
async def test_a_client_without_tls_is_counted_and_dropped(
    start_gateway: StartGateway, certificate: tuple[Path, ssl.SSLContext], sent: bytes
) -> None:
    path, context = certificate
    gateway = await start_gateway(tcp_tls_cert=path, header_timeout_s=0.4, max_clients=1)
    plain = await connect(gateway)
    plain.writer.write(sent)
    await asyncio.wait_for(plain.reader.read(), WITHIN_S)
    await plain.close()
    async with asyncio.timeout(WITHIN_S):
        while metric(gateway, "refused_total", reason="tls") == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    client = await connect(gateway, ssl=context)
    assert (await client.ask(b'{"type": "info"}\n'))["status"] == "ok"
    await client.close()


def test_a_certificate_that_is_none_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    path.write_text("no certificate")
    with pytest.raises(StartError, match="not a PEM certificate"):
        Gateway(GatewaySettings(tcp_tls_cert=path))


def test_an_empty_token_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(" \n")
    with pytest.raises(StartError, match="is empty"):
        Gateway(GatewaySettings(tcp_token_file=path))


async def test_a_reset_connection_leaves_nothing_behind(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    for _ in range(20):
        client = await connect(gateway)
        client.writer.write(PREDICT[:1000])
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        await client.close()
    last = await connect(gateway)
    assert (await last.ask(b'{"type": "info"}\n'))["status"] == "ok"
    await last.close()


@pytest.mark.parametrize("tiny", [b"0 ", b"2 {}", b"{}\n", b'{"type": "reset"}\n'])
async def test_a_flood_of_tiny_requests_leaves_the_gateway_to_others(
    start_gateway: StartGateway, tiny: bytes
) -> None:
    gateway = await start_gateway()
    flood, player = await connect(gateway), await connect(gateway)
    flooding = asyncio.create_task(send_for_ever(flood, tiny * 10_000))
    for _ in range(5):
        assert (await player.ask(PREDICT))["status"] == "ok"
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    flood.writer.transport.abort()
    for client in (flood, player):
        await client.close()


async def send_for_ever(client: Client, data: bytes) -> None:
    while True:
        client.writer.write(data)
        await client.writer.drain()


async def test_a_gateway_stops_with_a_backlog_too(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(triton="127.0.0.1:1", tcp_deadline_s=60)
    client = await connect(gateway)
    client.writer.write(b'{"type": "info"}\n' * 900)
    assert (await client.line())["status"] == "error"
    await asyncio.wait_for(gateway.stop(), WITHIN_S)
    await client.close()


@pytest.mark.parametrize("token", ["\\ud800", "\\u0000"])
async def test_a_token_that_is_no_text_is_a_wrong_one(
    start_gateway: StartGateway, token_file: Path, token: str
) -> None:
    client = await connect(await start_gateway(tcp_token_file=token_file))
    reply = await client.ask(f'{{"type": "hello", "token": "{token}"}}\n'.encode())
    assert "token is wrong" in reply["message"]
    await client.close()
