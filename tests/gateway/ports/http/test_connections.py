"""Who has to leave port 8080 when another one comes: addresses take nothing from each other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest_asyncio

from gateway.ports.http.connections import MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS, HttpConnections
from tests.patience import WITHIN_S

LOCAL = "127.0.0.1"


class Echo(asyncio.Protocol):
    """Stands where HTTP is spoken: answers each byte with itself."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


class Client:
    """A connection from an address of the test's choice."""

    async def connect(self, port: int, address: str) -> "Client":
        self.reader, self.writer = await asyncio.open_connection(LOCAL, port, local_addr=(address, 0))
        return self

    async def is_served(self) -> bool:
        with contextlib.suppress(ConnectionError):
            self.writer.write(b"?")
            return await asyncio.wait_for(self.reader.read(1), WITHIN_S) == b"?"
        return False


class Door:
    """A server for which only 127.0.0.1 is this machine."""

    def __init__(self) -> None:
        self.clients: list[Client] = []

    async def start(self) -> None:
        connections = HttpConnections(Echo, header_timeout_s=60, is_local=lambda address: address == LOCAL)
        self.server = await asyncio.get_running_loop().create_server(connections, LOCAL, 0)

    async def enter(self, address: str) -> Client:
        client = await Client().connect(self.server.sockets[0].getsockname()[1], address)
        self.clients.append(client)
        assert await client.is_served()
        return client


@pytest_asyncio.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    await door.start()
    yield door
    for client in door.clients:
        client.writer.close()
    door.server.close()
    await door.server.wait_closed()


async def test_an_address_with_too_many_loses_its_own_oldest(door: Door) -> None:
    first = await door.enter("127.0.0.2")
    other = await door.enter("127.0.0.3")
    rest = [await door.enter("127.0.0.2") for _ in range(MAX_CONNECTIONS_PER_ADDRESS)]
    assert not await first.is_served()
    assert await other.is_served()
    assert await rest[0].is_served()


async def test_when_all_places_are_taken_the_address_with_most_loses_one(door: Door) -> None:
    alone = await door.enter("127.0.1.1")
    greedy = [await door.enter("127.0.0.2") for _ in range(2)]
    for number in range(MAX_CONNECTIONS - 3):
        await door.enter(f"127.0.2.{number + 1}")
    late = await door.enter("127.0.1.2")
    assert not await greedy[0].is_served()
    for one in (alone, greedy[1], late):
        assert await one.is_served()


async def test_strangers_take_no_place_of_this_machine(door: Door) -> None:
    own = await door.enter(LOCAL)
    for number in range(MAX_CONNECTIONS + 10):
        await door.enter(f"127.0.2.{number + 1}")
    assert await own.is_served()
    assert await (await door.enter(LOCAL)).is_served()


async def test_places_are_given_back(door: Door) -> None:
    for _ in range(3):
        clients = [await door.enter("127.0.0.2") for _ in range(MAX_CONNECTIONS_PER_ADDRESS)]
        assert all([await client.is_served() for client in clients])
        for client in clients:
            client.writer.write_eof()
            assert await asyncio.wait_for(client.reader.read(), WITHIN_S) == b""
