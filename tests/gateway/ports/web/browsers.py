"""A browser's WebSockets to a gateway's web port, as tests need them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from gateway.server import Gateway
from tests.patience import WITHIN_S

RGBA = bytes(256 * 256 * 4)


def address(gateway: Gateway, path: str = "/play", scheme: str = "ws") -> str:
    """The URL of a path of the web port."""
    return f"{scheme}://127.0.0.1:{gateway.port_numbers['web']}{path}"


@asynccontextmanager
async def browser(
    gateway: Gateway,
    path: str = "/play",
    name: str = "127.0.0.1",
    **options: Any,  # noqa: ANN401
) -> AsyncIterator[ClientConnection]:
    """A WebSocket without compression, of a page of the port itself; `name`: the server's, for it."""
    port = gateway.port_numbers["web"]
    options = {"origin": address(gateway, "", "http"), "compression": None, "max_size": None, **options}
    options |= {"host": "127.0.0.1", "port": port, "open_timeout": WITHIN_S, "ping_interval": None}
    async with connect(f"ws://{name}:{port}{path}", **options) as socket:
        yield socket


async def ask(socket: ClientConnection, fields: dict[str, Any], *pictures: bytes) -> dict[str, Any]:
    """Send a request, and the picture that belongs to it; the reply."""
    await socket.send(json.dumps(fields))
    for picture in pictures:
        await socket.send(picture)
    return await reply(socket)


async def reply(socket: ClientConnection) -> dict[str, Any]:
    """The next reply."""
    text = await asyncio.wait_for(socket.recv(), WITHIN_S)
    assert isinstance(text, str)
    fields: dict[str, Any] = json.loads(text)
    return fields


def metric(gateway: Gateway, name: str, **labels: str) -> float:
    """The value of one of port 5557's metrics, 0 for one that is not there yet."""
    found = gateway.metrics.registry.get_sample_value(f"nitrogen_gateway_{name}", {"port": "web", **labels})
    return found or 0.0
