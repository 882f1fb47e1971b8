"""The web port: its page and what belongs to it, and requests on `/play`."""

import asyncio
from typing import Any

import aiohttp
import pytest

from gateway.server import Gateway
from tests.gateway.conftest import StartGateway
from tests.gateway.ports.web.browsers import RGBA, address, ask, browser, metric
from tests.gateways import running_gateway
from tests.stand_ins.timed_triton import HORIZON


async def get(gateway: Gateway, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, str]:
    """A page's response and text."""
    url = address(gateway, path, "http")
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response, await response.text()


async def test_the_page_and_its_parts_come_with_headers_that_load_nothing_from_elsewhere() -> None:
    async with running_gateway() as gateway:
        page, text = await get(gateway, "/")
        assert (page.status, page.content_type) == (200, "text/html")
        assert "<html" in text
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        part, _ = await get(gateway, "/common/style.css")
        assert (part.status, part.content_type) == (200, "text/css")
        again, _ = await get(gateway, "/", **{"If-None-Match": page.headers["ETag"]})
        assert again.status == 304
        healthy, text = await get(gateway, "/healthz")
        assert (healthy.status, text) == (200, "OK\n")


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/../settings.py", "/%2e%2e/settings.py", "/common/../../settings.py", "//etc/passwd"],
)
async def test_nothing_outside_the_pages_is_served(path: str) -> None:
    async with running_gateway() as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port_numbers["web"])
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head = await reader.read()
        assert head.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), head
        writer.close()


async def test_a_browser_plays(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    async with browser(gateway) as socket:
        assert (await ask(socket, {"type": "info"}))["info"]["model"] == "nitrogen"
        for fields, picture in [({"format": "rgba"}, RGBA), ({"format": "rgb"}, RGBA[: 3 * 2**16])]:
            request: dict[str, Any] = {"type": "predict", "game": 0, "id": 7, **fields}
            got = await ask(socket, request, picture)
            assert (got["id"], got["status"]) == (7, "ok"), got
            assert len(got["pred"]["buttons"]) == HORIZON
        row = {"by": "human", "buttons": [0] * 21, "j_left": [0, 0], "j_right": [0, 0]}
        assert await ask(socket, {"type": "played", "tick": 0, "rows": [row]}) == {"status": "ok"}
        assert await ask(socket, {"type": "reset", "id": "seven"}) == {"id": "seven", "status": "ok"}
    labels = {"access": "anonymous", "outcome": "ok", "type": "predict"}
    assert metric(gateway, "requests_total", **labels) == 2
