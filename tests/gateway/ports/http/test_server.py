"""Port 8080 by itself: what /readyz says while the gateway serves, cannot serve, and is about to stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from gateway.ports.http.connections import MAX_LOCAL_CONNECTIONS
from gateway.ports.http.server import HttpServer
from gateway.settings import GatewaySettings
from tests.patience import WITHIN_S


class State:
    """The content of the pages."""

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

    settings = GatewaySettings(host="127.0.0.1", http_port=0, header_timeout_s=0.5)
    server = HttpServer(ready, exposition, lambda: [(5555, "Python"), (65535, "others")], settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def test_silent_connections_take_the_pages_from_nobody(server: HttpServer) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)]
    assert await page(server, "/healthz") == (200, "ok\n")
    # Each is closed: the oldest ones because there are too many, the others because they say nothing.
    for reader, writer in silent:
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""
        writer.close()


async def test_connections_that_asked_once_and_stay_take_the_pages_from_nobody(server: HttpServer) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:
        url = f"http://127.0.0.1:{server.port}/healthz"
        kept = [await session.get(url) for _ in range(MAX_LOCAL_CONNECTIONS)]
        assert await page(server, "/healthz") == (200, "ok\n")
        for response in kept:
            response.close()


async def test_a_header_that_does_not_end_is_cut(server: HttpServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: ")
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""
    writer.close()


@pytest.mark.parametrize(
    "sent", [b"\0\xff", b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n"]
)
async def test_bytes_that_are_no_request_are_cut_and_not_logged(
    server: HttpServer, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent + sent[-2:] * 2**19)
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), WITHIN_S)
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(writer.drain(), WITHIN_S)
    assert caplog.text == ""
    assert await page(server, "/healthz") == (200, "ok\n")


async def test_a_connection_that_has_asked_may_ask_again_later(server: HttpServer) -> None:
    async def ask() -> bytes:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        return await asyncio.wait_for(reader.readuntil(b"ok\n"), WITHIN_S)

    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    assert (await ask()).startswith(b"HTTP/1.1 200")
    # Meanwhile one that came later and says nothing is cut.
    silent, its_writer = await asyncio.open_connection("127.0.0.1", server.port)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(silent.read(), WITHIN_S) == b""
    assert (await ask()).startswith(b"HTTP/1.1 200")
    for one in (writer, its_writer):
        one.close()


async def test_the_front_says_what_is_here(server: HttpServer, state: State) -> None:
    state.reason = "Triton is away"
    status, text = await page(server, "/")
    assert status == 200
    assert text.startswith("This is a NitroGen gateway. It is not ready: Triton is away.")
    for word in ("/healthz", "/readyz", "/metrics", "port 5555 ", "port 65535 "):
        assert word in text


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
