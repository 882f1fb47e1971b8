"""`ModelClient`: the client for ordinary programs, with the names of the reference's."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import zmq

from nitrogen_client.base import BaseClient
from nitrogen_client.errors import ReplyTimeoutError
from nitrogen_client.exchange import Answer, Request
from nitrogen_client.images import GivenImage, read_image
from nitrogen_client.options import UNSET, GivenGame, GivenModel, GivenNoise, GivenSeed, Options, Unset
from nitrogen_client.played import Rows, played_fields
from nitrogen_client.prediction import Prediction
from nitrogen_client.previous import Previous, previous_fields
from nitrogen_client.replies import read_info, read_prediction


class ModelClient(BaseClient):
    """A client of a NitroGen server's ZeroMQ port, with the reference client's names and meanings.

    It sends nothing, and waits for nothing, before the first request.

    `host`, `port`: where the server is; a name, an IPv4 or an IPv6 address. `timeout_s`: seconds until a call
    ends with an error, all repetitions included. `retries`: how often a request is sent again after its
    connection ended or the server said that it is busy or stopping; 0 sends each request once.
    `protocol`: "msgpack", "pickle", or "auto", which asks the server once for each connection.

    Defaults for every call: `seed` of the noise, with which the same frames get the same actions; `game` (a
    name, an id, None for unconditional; without it the server's default counts); `model`, by its name;
    `timing`, which fills `Prediction.timing`; `noise`, which chunks begin from: "fresh" for each,
    {"memory": rho} for one that keeps rho, from 0 to 1, of itself from chunk to chunk, until a reset.

    `client_key`, `server_key`: the files NAME.key_secret and server.key that `nitrogen-gateway keys` makes.

    Threads may share a client: its requests go one after another, and a call's time includes its turn. For
    requests at the same time, make a client for each thread. In a process that was forked, the client makes
    a connection of its own.

    Raises:
        ArgumentError: an argument is invalid.
        KeyFileError: a key file cannot be used.
    """

    def predict(
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
        """Send a frame; return the actions for the next T steps.

        For checkpoints that see several frames, the server keeps those of a connection. When a predict has to
        be sent again because its connection ended, the new connection begins with this frame alone
        (`Prediction.is_first_of_connection`), and with new noise. When it has to be sent again because the
        model's queue was full, the frame counts twice, and noise with a memory moves on two steps.
        `retries=0` leaves both to the caller.

        Args:
            image: uint8 RGB pixels (H, W, 3), (H, W) grey or (H, W, 4), a PIL image, or the bytes of a PNG,
                JPEG, BMP or WebP file. The server stretches pixels that are not 256x256.
            resize_mode: how the server makes a file 256x256: "pad" (the default), "crop" or "stretch".
            seed: as for the client, for this call only; None for no seed.
            game: as for the client, for this call only; None for no game.
            model: as for the client, for this call only; None for the server's default.
            timing: as for the client, for this call only.
            noise: as for the client, for this call only; or {"tick": n}, with which each tick keeps its
                noise in all chunks.
            tick: the picture's tick, for the server's recordings; noise by tick implies it.
            previous: the rows that are still to be pressed, from the picture's tick on, as a dict of the
                parts that a chunk has; the new chunk continues them if `info()` says "conditioning".
            delay: how many of these rows will have been pressed when the chunk arrives.
            timeout_s: seconds for the whole call; the client's by default.

        Returns:
            A dict of writable float32 arrays: `j_left` (T, 2), `j_right` (T, 2), `buttons` (T, 21).

        Raises:
            ImageError: the image cannot be sent.
            ServerError: the server answered with an error; its classes tell the cause.
            ReplyTimeoutError: no reply came within the time.
            ConnectionFailedError: there was no connection within the time, or it ended.
            UnsupportedError: the server is of the older kind and does not know what was asked for.
            ProtocolError: the answer is not a reply.
        """
        options = self._options.replaced(seed, game, model, timing, noise)
        more = previous_fields(tick, previous, delay)
        request = Request("predict", options, read_image(image, resize_mode), more)
        return read_prediction(self._call(request, timeout_s))

    def reset(self, *, timeout_s: float | None = None) -> None:
        """Let the server forget this client's frames and noise.

        Raises:
            NitrogenError: as for `predict`.
        """
        self._call(Request("reset", Options()), timeout_s)

    def info(self, *, model: GivenModel = UNSET, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the model's facts, `ckpt_path` and `action_downsample_ratio` among them.

        Raises:
            NitrogenError: as for `predict`.
        """
        options = Options(model=self._options.model).replaced(model=model)
        return read_info(self._call(Request("info", options), timeout_s))

    def played(self, tick: int, rows: Rows, *, timeout_s: float | None = None) -> None:
        """Tell the server what was really pressed, for its recordings and its live page.

        Args:
            tick: the game's tick of the first row; each further row is that of the next tick.
            rows: 1 to 64 dicts with `by` ("model" or "human"), `buttons` (21 of 0 or 1), `j_left` and
                `j_right` (x and y from -1 to 1).
            timeout_s: seconds for the whole call; the client's by default.

        Raises:
            ArgumentError: the tick or a row is invalid.
            NitrogenError: as for `predict`.
        """
        self._call(Request("played", Options(), more=played_fields(tick, rows)), timeout_s)

    def close(self) -> None:
        """Close the connection; waits for another thread's request. A closed client cannot be used again."""
        if self._pid != os.getpid():
            # The parent's lock, copied maybe while it was held, is released by nobody here.
            self._closed = True
            return
        with self._turn:
            self._close()

    def __enter__(self) -> ModelClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        """Begin without a connection; a parent process's is left alone, which goes on using it."""
        self._turn = threading.Lock()
        self._begin(zmq.Context())

    def _call(self, request: Request, timeout_s: float | None) -> Answer:
        timeout_s, deadline = self._time(timeout_s)
        if self._pid != os.getpid():
            self._start()
        if not self._turn.acquire(timeout=timeout_s):
            raise ReplyTimeoutError(
                f"other threads' requests took all of {timeout_s:g} s: make a client for each thread"
            )
        try:
            waits = self._exchange(request, timeout_s, deadline)
            while True:
                try:
                    wait = next(waits)
                except StopIteration as done:
                    answer: Answer = done.value
                    return answer
                if wait.sockets:
                    wait.poll(zmq.Poller())
                else:
                    time.sleep(wait.seconds)
        finally:
            self._turn.release()
