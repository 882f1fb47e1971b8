"""`AsyncModelClient`: the same client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from types import TracebackType
from typing import Any

import zmq
import zmq.asyncio

from nitrogen_client.connection import Connection, KeyFile, given_back_with
from nitrogen_client.errors import ClientClosedError, NitrogenError, ReplyTimeoutError
from nitrogen_client.exchange import Answer, Ask, Connect, Outcome, Pause, Received, Request, Step, exchange
from nitrogen_client.images import GivenImage, read_image
from nitrogen_client.options import UNSET, GivenGame, GivenModel, GivenSeed, Unset, checked_timeout
from nitrogen_client.prediction import Prediction
from nitrogen_client.replies import read_info, read_prediction
from nitrogen_client.settings import DEFAULT_RETRIES, client_settings

logger = logging.getLogger(__name__)


class AsyncModelClient:
    """`ModelClient` for asyncio: the same arguments, methods that are awaited, the same errors.

    It belongs to the event loop of its first request. Tasks may share a client: its requests go one after
    another. For requests at the same time, make a client for each task. A request whose task is cancelled is
    given up; the next one goes by a new connection.

    On Windows, pyzmq needs asyncio's selector event loop, or the package tornado.

    Raises:
        ArgumentError: an argument cannot be meant.
        KeyFileError: a key file cannot be used.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 5555,
        *,
        timeout_s: float = 30.0,
        retries: int = DEFAULT_RETRIES,
        protocol: str = "auto",
        seed: int | None = None,
        game: GivenGame = UNSET,
        model: str | None = None,
        timing: bool = False,
        client_key: KeyFile | None = None,
        server_key: KeyFile | None = None,
    ) -> None:
        self._settings = client_settings(
            host, port, timeout_s, retries, protocol, seed, game, model, timing, client_key, server_key
        )
        self.host = host
        self.port = self._settings.address.port
        self.timeout_s = self._settings.timeout_s
        self._closed = False
        self._peer = self._settings.peer()
        # Made in the event loop, by the first request.
        self._loop: asyncio.AbstractEventLoop | None = None

    async def predict(
        self,
        image: GivenImage,
        *,
        resize_mode: str | None = None,
        seed: GivenSeed = UNSET,
        game: GivenGame = UNSET,
        model: GivenModel = UNSET,
        timing: bool | Unset = UNSET,
        timeout_s: float | None = None,
    ) -> Prediction:
        """Send a frame; return the actions for the next T steps, as `ModelClient.predict` does.

        Raises:
            NitrogenError: as for `ModelClient.predict`.
        """
        options = self._settings.options.replaced(seed, game, model, timing)
        return read_prediction(
            await self._call(Request("predict", options, read_image(image, resize_mode)), timeout_s)
        )

    async def reset(self, *, timeout_s: float | None = None) -> None:
        """Let the server forget this client's frames.

        Raises:
            NitrogenError: as for `ModelClient.predict`.
        """
        await self._call(Request("reset", self._settings.options_of("reset")), timeout_s)

    async def info(self, *, model: GivenModel = UNSET, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the facts of the model that answers, as `ModelClient.info` does.

        Raises:
            NitrogenError: as for `ModelClient.predict`.
        """
        options = self._settings.options_of("info").replaced(model=model)
        return read_info(await self._call(Request("info", options), timeout_s))

    async def close(self) -> None:
        """Close the connection, after a request that is under way. A closed client cannot be used again."""
        if self._loop is None or self._pid != os.getpid():
            # In a forked process the parent's turn, copied maybe while it was taken, would never end.
            self._closed = True
            return
        async with self._turn:
            if not self._closed:
                self._closed = True
                self._give_back()
                logger.info("connection to %s closed", self._settings.address)

    async def __aenter__(self) -> AsyncModelClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncModelClient({self.host!r}, {self.port})"

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._pid = os.getpid()
            self._turn = asyncio.Lock()
            self._context = zmq.asyncio.Context()
            self._connection = Connection(self._settings.address, self._context)
            self._give_back = given_back_with(self, self._connection, self._context)
        elif self._loop is not loop or self._pid != os.getpid():
            raise NitrogenError("this client belongs to another event loop: make one in each")

    async def _call(self, request: Request, timeout_s: float | None) -> Answer:
        timeout_s = self._settings.timeout_s if timeout_s is None else checked_timeout(timeout_s)
        deadline = time.monotonic() + timeout_s
        if self._closed:
            raise ClientClosedError("this client is closed: make a new one")
        self._start()
        await self._take_turn(timeout_s)
        try:
            if self._closed:
                raise ClientClosedError("this client is closed: make a new one")
            steps = exchange(self._peer, request, timeout_s=timeout_s, retries=self._settings.retries)
            result: object = None
            while True:
                try:
                    step = steps.send(result)
                except StopIteration as done:
                    answer: Answer = done.value
                    return answer
                result = await self._carry_out(step, deadline)
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

    async def _carry_out(self, step: Step, deadline: float) -> object:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        if isinstance(step, Connect):
            await self._take_events()
            return self._connection.renew()
        return await self._ask(step, deadline)

    async def _ask(self, step: Ask, deadline: float) -> Outcome:
        connection = self._connection
        connection.request_begins()
        try:
            await connection.socket.send(step.message, zmq.NOBLOCK)
        except zmq.Again:
            return connection.cannot_send()
        poller = zmq.asyncio.Poller()
        poller.register(connection.socket, zmq.POLLIN)
        poller.register(connection.monitor, zmq.POLLIN)
        while True:
            await self._take_events()
            # Looked for after the events: a reply that came just before the connection's end counts.
            try:
                parts = await connection.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                pass
            else:
                connection.reply_came()
                return Received(parts)
            ended = connection.ended()
            if ended is not None:
                return ended
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                return connection.silent()
            await poller.poll(round(remaining_s * 1000) + 1)

    async def _take_events(self) -> None:
        monitor = self._connection.monitor
        with contextlib.suppress(zmq.Again):
            while monitor is not None:
                self._connection.take_event(await monitor.recv_multipart(zmq.NOBLOCK))
