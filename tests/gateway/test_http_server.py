"""Port 8080 by itself: what /readyz says while the gateway serves, cannot serve, and is about to stop."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from gateway.settings import GatewaySettings
from gateway.telemetry.http_server import HttpServer


class State:
    """What the pages are made of."""

    reason: str | None = None
    # Set by default; who clears it lets the answer wait.
    is_known: asyncio.Event


@pytest.fixture
def state() -> State:
    state = State()
    state.is_known = asyncio.Event()
    state.is_known.set()
    return state


@pytest_asyncio.fixture
async def server(state: State) -> AsyncIterator[HttpServer]:
    async def ready() -> str | None:
        await state.is_known.wait()
        return state.reason

    async def exposition() -> bytes:
        return b"metric 1\n"

    settings = GatewaySettings(host="127.0.0.1", http_port=0)
    server = HttpServer(ready, exposition, settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def test_connections_are_limited(server: HttpServer) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(64)]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    for _, one in [*silent, (reader, writer)]:
        one.close()
        await one.wait_closed()
    assert await page(server, "/healthz") == (200, "ok\n")


async def page(server: HttpServer, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}{path}") as response,
    ):
        return response.status, await response.text()


async def test_ready(server: HttpServer) -> None:
    assert await page(server, "/readyz") == (200, "ready\n")


async def test_not_ready_with_the_reason(server: HttpServer, state: State) -> None:
    state.reason = "Triton is away"
    assert await page(server, "/readyz") == (503, "Triton is away\n")


async def test_about_to_stop_but_alive(server: HttpServer) -> None:
    server.draining = True
    assert await page(server, "/readyz") == (503, "stopping\n")
    assert await page(server, "/healthz") == (200, "ok\n")
    assert await page(server, "/metrics") == (200, "metric 1\n")


async def test_the_metrics_are_told_what_readyz_says(server: HttpServer, state: State) -> None:
    assert await server.is_ready(10)
    server.draining = True
    assert not await server.is_ready(10)


async def test_the_metrics_are_told_why_not(server: HttpServer, state: State) -> None:
    state.reason = "Triton is away"
    assert not await server.is_ready(10)


async def test_the_metrics_do_not_wait_for_an_answer_that_does_not_come(
    server: HttpServer, state: State
) -> None:
    state.is_known.clear()
    assert not await server.is_ready(0.05)
    state.is_known.set()
    assert await server.is_ready(10)
