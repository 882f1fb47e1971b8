"""`AsyncModelClient`: the same client for asyncio."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import zmq.asyncio

from nitrogen_client.base import BaseClient
from nitrogen_client.errors import NitrogenError, ReplyTimeoutError
from nitrogen_client.exchange import Answer, Request
from nitrogen_client.images import GivenImage, read_image
from nitrogen_client.options import UNSET, GivenGame, GivenModel, GivenNoise, GivenSeed, Options, Unset
from nitrogen_client.played import Rows, played_fields
from nitrogen_client.prediction import Prediction
from nitrogen_client.previous import Previous, previous_fields
from nitrogen_client.replies import read_info, read_prediction


class AsyncModelClient(BaseClient):
    """`ModelClient` for asyncio: the same arguments, methods that are awaited, the same errors.

    It belongs to the event loop of its first request. Tasks may share a client: its requests go one after
    another. For requests at the same time, make a client for each task. A request whose task is cancelled is
    given up; the next one goes by a new connection.

    On Windows, pyzmq needs asyncio's selector event loop, or the package tornado.

    Raises:
        ArgumentError: an argument is invalid.
        KeyFileError: a key file cannot be used.
    """

    async def predict(
        self,
        image: GivenImage,
        *,
        resize_mode: str | None = None,
        seed: GivenSeed = UNSET,
        game: GivenGame = UNSET,
        model: GivenModel = UNSET,
        timing: bool | Unset = UNSET,
        noise: GivenNoise = UNSET,
        tick: int | None = None,
        previous: Previous | None = None,
        delay: int | None = None,
        timeout_s: float | None = None,
    ) -> Prediction:
        """Send a frame; return the actions for the next T steps, as `ModelClient.predict` does.

        Raises:
            NitrogenError: as for `ModelClient.predict`.
        """
        options = self._options.replaced(seed, game, model, timing, noise)
        more = previous_fields(tick, previous, delay)
        request = Request("predict", options, read_image(image, resize_mode), more)
        return read_prediction(await self._call(request, timeout_s))

    async def reset(self, *, timeout_s: float | None = None) -> None:
        """Let the server forget this client's frames and noise.

        Raises:
            NitrogenError: as for `ModelClient.predict`.
        """
        await self._call(Request("reset", Options()), timeout_s)

    async def info(self, *, model: GivenModel = UNSET, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the facts of the model that answers, as `ModelClient.info` does.

        Raises:
            NitrogenError: as for `ModelClient.predict`.
        """
        options = Options(model=self._options.model).replaced(model=model)
        return read_info(await self._call(Request("info", options), timeout_s))

    async def played(self, tick: int, rows: Rows, *, timeout_s: float | None = None) -> None:
        """Tell the server what was really pressed, as `ModelClient.played` does.

        Raises:
            NitrogenError: as for `ModelClient.played`.
        """
        await self._call(Request("played", Options(), more=played_fields(tick, rows)), timeout_s)

    async def close(self) -> None:
        """Close the connection, after a request that is under way. A closed client cannot be used again."""
        if self._loop is None or self._pid != os.getpid():
            # In a forked process the parent's turn, copied maybe while it was taken, would never end.
            self._closed = True
            return
        async with self._turn:
            self._close()

    async def __aenter__(self) -> AsyncModelClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _start(self) -> None:
        # The rest is made in the event loop, by the first request.
        self._loop: asyncio.AbstractEventLoop | None = None

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._turn = asyncio.Lock()
            self._begin(zmq.asyncio.Context())
        elif self._loop is not loop or self._pid != os.getpid():
            raise NitrogenError("this client belongs to another event loop: make one in each")

    async def _call(self, request: Request, timeout_s: float | None) -> Answer:
        timeout_s, deadline = self._time(timeout_s)
        self._check_open()
        self._enter_loop()
        await self._take_turn(timeout_s)
        try:
            waits = self._exchange(request, timeout_s, deadline)
            while True:
                try:
                    wait = next(waits)
                except StopIteration as done:
                    answer: Answer = done.value
                    return answer
                if wait.sockets:
                    await wait.poll(zmq.asyncio.Poller())
                else:
                    await asyncio.sleep(wait.seconds)
        finally:
            self._turn.release()

    async def _take_turn(self, timeout_s: float) -> None:
        # Not asyncio.wait_for, which before Python 3.12 can lose a lock that it got while it was cancelled.
        turn = asyncio.ensure_future(self._turn.acquire())
        try:
            await asyncio.wait({turn}, timeout=timeout_s)
        except asyncio.CancelledError:
            if turn.done():
                self._turn.release()
            turn.cancel()
            raise
        if not turn.done():
            turn.cancel()
            raise ReplyTimeoutError(
                f"other tasks' requests took all of {timeout_s:g} s: make a client for each task"
            )
