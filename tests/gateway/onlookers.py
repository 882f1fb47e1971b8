"""Onlookers of a gateway's live page, and players whom they look at."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.patience import WITHIN_S
from tests.stack import JsonClient
from tests.stand_ins.timed_answers import frame

GREY = frame(40).tobytes()
ROW = {"by": "human", "buttons": [1] * 21, "j_left": [1, 0], "j_right": [0, 0]}


class Onlooker:
    """One who looks at the page's events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self, name: str) -> dict[str, Any]:
        """The next event of a name."""
        async with asyncio.timeout(WITHIN_S):
            while line := (await self._response.content.readline()).decode():
                if line.strip() == f"event: {name}":
                    data = (await self._response.content.readline()).decode()
                    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
                    return found
        raise AssertionError("the events have ended")

    async def end(self) -> None:
        """Look until the events end."""
        await self._response.content.read()

    async def player(self) -> dict[str, Any]:
        """The first player, once there is one."""
        while not (players := (await self.next("players"))["players"]):
            pass
        found: dict[str, Any] = players[0]
        return found


@asynccontextmanager
async def looking(port: int, player: str = "") -> AsyncIterator[Onlooker]:
    """One who looks at a player, by the id in the list, or at the list alone."""
    timeout = aiohttp.ClientTimeout(total=WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as session:
        url = f"http://127.0.0.1:{port}/live/events?player={player}"
        async with session.get(url) as response:
            assert (response.status, response.content_type) == (200, "text/event-stream")
            yield Onlooker(response)


@asynccontextmanager
async def playing(port: int, picture: bytes = GREY, **fields: object) -> AsyncIterator[None]:
    """A player who sends a picture again and again, and tells what was pressed, until the end."""

    def play() -> None:
        with JsonClient(port) as client:
            while not over.is_set():
                client.request({"type": "predict", **fields}, picture)
                client.request({"type": "played", "tick": 1, "rows": [ROW]})

    over = asyncio.Event()
    task = asyncio.create_task(asyncio.to_thread(play))
    try:
        yield
    finally:
        over.set()
        await task
