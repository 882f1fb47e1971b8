"""Versions of a quick model are swapped many times under clients in closed loop; all are answered."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.server import Gateway
from tests.black_frame import PREDICT
from tests.gateways import running_gateway
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import TimedTriton, running_triton

CLIENTS = 8


@pytest_asyncio.fixture
async def triton(tmp_path: Path) -> AsyncIterator[TimedTriton]:
    triton = TimedTriton(tmp_path, instances=1)
    triton.write_model(1, version=1)
    async with running_triton(triton):
        yield triton


@pytest_asyncio.fixture
async def gateway(triton: TimedTriton) -> AsyncIterator[Gateway]:
    async with running_gateway(triton=triton.endpoint) as gateway:
        yield gateway


class Client:
    """A client that asks for actions again and again; `frame_counts` tells what the model saw each time."""

    def __init__(self, gateway: Gateway) -> None:
        self._port = gateway.port_numbers["tcp"]
        self.errors: list[str] = []
        self.frame_counts: list[int] = []

    async def play(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            while True:
                writer.write(PREDICT)
                reply = json.loads(await reader.readline())
                if reply["status"] != "ok":
                    self.errors.append(reply["message"])
                    return
                self.frame_counts.append(round(reply["pred"]["j_left"][0][0] * 10))
        finally:
            writer.close()


@asynccontextmanager
async def playing(gateway: Gateway) -> AsyncIterator[list[Client]]:
    clients = [Client(gateway) for _ in range(CLIENTS)]
    tasks = [asyncio.create_task(client.play()) for client in clients]
    try:
        yield clients
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def replies(clients: list[Client], count: int) -> None:
    """Wait until every client has got this many more replies, or an error."""
    wanted = [len(client.frame_counts) + count for client in clients]
    async with asyncio.timeout(WITHIN_S):
        while any(  # noqa: ASYNC110 - clients have no event for it
            len(client.frame_counts) < number and not client.errors
            for client, number in zip(clients, wanted, strict=True)
        ):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "versions", [[2, 1, 3, 2], [1, 1, 1, 1]], ids=["numbers change", "a number is replaced"]
)
async def test_every_request_is_answered_whatever_is_swapped(
    triton: TimedTriton, gateway: Gateway, versions: list[int]
) -> None:
    async with playing(gateway) as clients:
        await replies(clients, 2)
        for version, context_length in zip(versions, (3, 1, 2, 3), strict=True):
            triton.write_model(context_length, version=version)
            await triton.load("nitrogen")
            # One that was on its way, one that came before the new context was known, and a full context.
            await replies(clients, context_length + 2)
            assert [client.errors for client in clients] == [[]] * CLIENTS
            assert {client.frame_counts[-1] for client in clients} == {context_length}


async def test_a_version_that_cannot_be_loaded_changes_nothing(triton: TimedTriton, gateway: Gateway) -> None:
    async with playing(gateway) as clients:
        await replies(clients, 2)
        triton.write_model(3, version=2, loads=False)
        with pytest.raises(Exception, match="load failed"):
            await triton.load("nitrogen")
        await replies(clients, 3)
        assert [client.errors for client in clients] == [[]] * CLIENTS
        assert {client.frame_counts[-1] for client in clients} == {1}
