"""Port 5555's limits: who connects, how many, how slowly; nobody is told, but those inside notice nothing."""

import asyncio
import contextlib
import logging
import socket
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from gateway.errors import StartError
from gateway.server import Gateway
from tests.gateway.ports.zmq.peers import (
    RESET,
    WITHIN_S,
    RawPeer,
    ask,
    clients,
    knock,
    peer,
    refused,
    reply_of,
    resident_bytes,
    until,
)
from tests.gateways import running_gateway


async def raw_connections(gateway: Gateway, count: int) -> list[tuple[asyncio.StreamReader, Any]]:
    return [await asyncio.open_connection("127.0.0.1", gateway.port_numbers["zmq"]) for _ in range(count)]


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def close_all(connections: list[tuple[asyncio.StreamReader, Any]]) -> None:
    for _, writer in connections:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"max_connections_per_address": 1}, "connections"), ({"max_clients": 1}, "clients")],
)
async def test_one_client_too_many_is_answered_once_there_is_room(
    settings: dict[str, Any], reason: str
) -> None:
    async with running_gateway(**settings) as gateway:
        with peer(gateway) as first:
            assert await ask(first) == {"status": "ok"}
            with peer(gateway) as second:
                # Sending waits for a connection, where the first try was refused already.
                answered = asyncio.create_task(ask(second))
                await until(lambda: refused(gateway, reason) >= 2, "the second knocks again and again")
                assert await ask(first) == {"status": "ok"}
                assert clients(gateway) == 1
                first.close()
                assert await answered == {"status": "ok"}
        await until(lambda: clients(gateway) == 0, "both have left")


async def test_a_stranger_to_the_networks_is_cut_off_at_once() -> None:
    async with running_gateway(allow="10.0.0.0/8,::1") as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port_numbers["zmq"])
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(reader.read(100), WITHIN_S):
                pass
        writer.close()
        assert refused(gateway, "network") == 1
        assert clients(gateway) == 0
        with peer(gateway) as client:
            await knock(client)
            await until(lambda: refused(gateway, "network") >= 2, "the client is refused")
            assert not await client.poll(0)


@pytest.mark.parametrize(
    ("host", "address", "allow"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.0/8"),
        ("::1", "[::1]", "::1"),
        ("::", "127.0.0.1", "127.0.0.1"),
        ("::", "[::1]", "::1/128"),
        ("localhost", "127.0.0.1", "127.0.0.1"),
    ],
)
async def test_clients_of_the_networks_are_answered(host: str, address: str, allow: str) -> None:
    async with running_gateway(host=host, allow=allow) as gateway:
        with peer(gateway, host=address) as client:
            assert await ask(client) == {"status": "ok"}


async def test_connections_that_say_nothing_are_limited_and_then_cut() -> None:
    async with running_gateway(max_clients=10, header_timeout_s=1) as gateway:
        connections = await raw_connections(gateway, 30)
        await until(lambda: refused(gateway, "clients") == 20, "twenty are refused")
        assert clients(gateway) == 10
        for reader, _ in connections:
            with contextlib.suppress(ConnectionError):
                while await asyncio.wait_for(reader.read(100), WITHIN_S):
                    pass
        await until(lambda: clients(gateway) == 0, "the ten are cut too")
        await close_all(connections)
        with peer(gateway) as client:
            assert await ask(client) == {"status": "ok"}


async def test_a_flood_of_connections_leaves_nothing_and_a_client_is_answered_throughout() -> None:
    async with running_gateway(max_connections_per_address=50) as gateway:
        with peer(gateway) as client:
            assert await ask(client) == {"status": "ok"}
            descriptors = open_descriptors()
            for _ in range(20):
                connections = await raw_connections(gateway, 100)
                assert await ask(client) == {"status": "ok"}
                await close_all(connections)
            await until(lambda: clients(gateway) == 1, "only the client is left")
            await until(lambda: open_descriptors() <= descriptors, "no descriptor is left")
            assert refused(gateway, "connections") > 0


async def test_clients_without_an_identity_leave_nothing_behind() -> None:
    async def come_and_go(gateway: Gateway, count: int) -> None:
        with zmq.asyncio.Context() as context:
            for _ in range(count):
                with context.socket(zmq.DEALER) as client:
                    client.linger = 0
                    client.connect(f"tcp://127.0.0.1:{gateway.port_numbers['zmq']}")
                    await client.send(RESET)
                    assert await reply_of(client) == {"status": "ok"}

    async with running_gateway() as gateway:
        await come_and_go(gateway, 500)
        before = resident_bytes()
        await come_and_go(gateway, 2000)
        await until(lambda: clients(gateway) == 0, "all have left")
        server = gateway.ports["zmq"]
        assert len(server._contexts) == len(server._names) == 0
        assert resident_bytes() < 1.05 * before


async def test_a_client_that_takes_no_replies_is_dropped_and_not_buffered() -> None:
    async with running_gateway(take_timeout_s=1) as gateway:
        raw = await RawPeer.connect(gateway, receive_bytes=4096)
        request = RawPeer.part(msgpack.packb({"type": "x" * 50}))
        before = resident_bytes()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(2 * WITHIN_S):
                while clients(gateway):
                    raw.writer.write(request * 100)
                    await raw.writer.drain()
                    await asyncio.sleep(0)
        await until(lambda: clients(gateway) == 0, "it is dropped")
        assert resident_bytes() - before < 64 * 2**20
        await raw.close()


async def test_a_message_without_an_end_is_cut_before_it_fills_the_memory() -> None:
    async with running_gateway(max_message_bytes=2**20) as gateway:
        with peer(gateway) as client:
            assert await ask(client) == {"status": "ok"}
            raw = await RawPeer.connect(gateway)
            before = resident_bytes()
            raw.writer.write(b"\x01\x00" * 50_000)
            assert await raw.ends()
            assert refused(gateway, "frames") == 1
            assert resident_bytes() - before < 2**24
            assert await ask(client) == {"status": "ok"}
            await raw.close()


async def test_unfinished_messages_of_many_connections_are_bounded_together() -> None:
    async with running_gateway(max_message_bytes=2**20) as gateway:
        with peer(gateway) as client:
            crowd = [await RawPeer.connect(gateway) for _ in range(12)]
            for raw in crowd:
                raw.writer.write(RawPeer.part(bytes(2**20))[:-1])
            await until(lambda: refused(gateway, "memory") >= 4, "those beyond eight messages are cut")
            assert await ask(client) == {"status": "ok"}
            assert sum(one.stream.held_bytes for one in gateway.ports["zmq"]._connections) <= 8 * 2**20
            for raw in crowd:
                await raw.close()


async def test_a_message_of_very_many_parts_gets_an_error_and_the_next_its_reply() -> None:
    async with running_gateway() as gateway:
        raw = await RawPeer.connect(gateway)
        raw.writer.write(b"\x01\x00" * 900 + RawPeer.part(RESET) + RawPeer.part(RESET))
        answers = b""
        while b"\xa6status\xa2ok" not in answers:
            answers += await asyncio.wait_for(raw.reader.read(1000), WITHIN_S)
        assert b"several parts" in answers
        await raw.close()


async def test_a_partial_message_of_an_idle_client_is_left_alone() -> None:
    async with running_gateway(max_message_bytes=2**20) as gateway:
        raw = await RawPeer.connect(gateway)
        whole = RawPeer.part(b"", more=True) + RawPeer.part(RESET)
        raw.writer.write(whole[:-3])
        with peer(gateway) as client:
            assert await ask(client) == {"status": "ok"}
        raw.writer.write(whole[-3:])
        assert b"ok" in await asyncio.wait_for(raw.reader.read(100), WITHIN_S)
        await raw.close()


async def test_refusals_are_logged_with_the_address_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway.ports"):
        async with running_gateway(allow="10.0.0.0/8") as gateway:
            await close_all(await raw_connections(gateway, 5))
            await until(lambda: refused(gateway, "network") == 5, "they are refused")
    assert caplog.text.count("a connection from 127.0.0.1 is refused: network") == 1


async def test_several_processes_can_share_the_port() -> None:
    async with (
        running_gateway(workers=2) as first,
        running_gateway(workers=2, zmq_port=first.port_numbers["zmq"]) as second,
    ):
        assert second.port_numbers["zmq"] == first.port_numbers["zmq"]
        for _ in range(20):
            with peer(first) as client:
                assert await ask(client) == {"status": "ok"}


async def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} is in use.*--zmq-port"):
            async with running_gateway(zmq_port=port):
                pass


async def test_a_host_that_is_none_is_named() -> None:
    with pytest.raises(StartError, match=r"203\.0\.113\.1.*--host"):
        async with running_gateway(host="203.0.113.1"):
            pass


async def test_a_silent_connection_is_closed_and_comes_back_by_itself() -> None:
    async with running_gateway(idle_timeout_s=0.5) as gateway:
        with peer(gateway) as client:
            assert (await ask(client))["status"] == "ok"
            await until(lambda: refused(gateway, "idle") >= 1, "the silent connection is closed")
            assert (await ask(client))["status"] == "ok"


async def test_a_message_that_dribbles_is_cut() -> None:
    async with running_gateway(request_timeout_s=0.5) as gateway:
        slow = await RawPeer.connect(gateway)
        whole = slow.part(bytes(1_000_000))
        slow.writer.write(whole[:200_000])
        assert await slow.ends()
        assert refused(gateway, "slow_sender") == 1
        await slow.close()
