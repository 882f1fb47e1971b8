"""The web port: its page and what belongs to it, and requests in both of its formats."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection

from gateway.server import Gateway
from gateway.telemetry.recording_format import is_recording, read_recording
from tests.gateway.conftest import StartGateway
from tests.gateway.ports.web.browsers import RGBA, address, ask, browser, metric
from tests.gateway.ports.zmq.peers import until
from tests.gateways import running_gateway
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import CONTEXT_LENGTH, HORIZON


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
        assert "Cross-Origin-Opener-Policy" not in page.headers
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


async def test_a_browser_plays_and_is_recorded(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway(record=tmp_path)
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
    await until(lambda: gateway.metrics.recordings.written == 3, "predicts and what was pressed are recorded")
    recorded = [file for file in tmp_path.iterdir() if is_recording(file.name)]  # noqa: ASYNC240 - a moment
    assert {read_recording(file).fields["port"] for file in recorded if "played" not in file.name} == {"web"}


async def observe(socket: ClientConnection, **fields: object) -> Any:  # noqa: ANN401
    """Send an observation in openpi's format; the reply, arrays as maps, or the error's text."""
    await socket.send(msgpack.packb(fields))
    got = await asyncio.wait_for(socket.recv(), WITHIN_S)
    return got if isinstance(got, str) else msgpack.unpackb(got)


async def test_an_openpi_client_plays_by_episodes_and_prompts(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    image = {b"__ndarray__": True, b"data": bytes(3 * 2**16), b"dtype": "|u1", b"shape": [256, 256, 3]}
    async with browser(gateway, "/some/path", origin=None) as socket:
        metadata = msgpack.unpackb(await asyncio.wait_for(socket.recv(), WITHIN_S))
        assert (metadata["horizon"], metadata["context_length"]) == (HORIZON, CONTEXT_LENGTH)
        seen = []
        for fields in ({"game": 0}, {"prompt": "no game's name"}, {"prompt": "game 1"}):
            got = await observe(socket, image=image, **fields)
            left = np.frombuffer(got["j_left"][b"data"], "<f4")
            seen.append(round(float(left[0]) * 10))
        assert seen == [1, 2, 3]  # frames in the context, as the timed model tells
        assert await observe(socket, __ctrl__="episode_start") == {"__ack__": "episode_start"}
        got = await observe(socket, image=image)
        assert round(float(np.frombuffer(got["j_left"][b"data"], "<f4")[0]) * 10) == 1
        # A prompt that is a game's name is that game: this one makes the timed model fail.
        assert "the model was told to raise" in await observe(socket, image=image, prompt="raise")
