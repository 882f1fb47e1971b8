"""The data plane: a request becomes a reply. It knows no sockets and no bytes of a protocol.

A request has two stages. `accept` puts its frame into the client's context and must be called in order of
arrival; `answer` asks Triton and may run for many requests at once. `session` keeps that order.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.contexts import UNKNOWN_CONTEXT_LENGTH, FrameContext
from gateway.errors import DeadlineError, ModelError, NotServedError, RequestError, ServerError
from gateway.images import to_frame
from gateway.protocol.messages import (
    FRAME_SHAPE,
    UNSET,
    ActionChunk,
    Image,
    Pixels,
    RawFrame,
    Reply,
    Request,
    Unset,
)
from gateway.triton.facts import ACTION_WIDTH, ModelFacts
from gateway.triton.model import TritonModel
from gateway.triton.registry import ModelRegistry

T = TypeVar("T")

# How long `info` waits for a Triton that does not answer before it tells the last known facts.
_INFO_WAIT_S = 1.0
# How often a request is made again because another version took the place of the one it was made for.
_MOST_SWAPS = 5


def frame_at_hand(image: Image) -> bytes | None:
    """Return the image's frame, (256, 256, 3) uint8 bytes, when that takes no decoding and no resizing."""
    if isinstance(image, RawFrame):
        return image.data
    if isinstance(image, Pixels) and image.rgb.shape == FRAME_SHAPE:
        return image.rgb.tobytes()
    return None


class DataPlane:
    """Answers requests with the models that Triton serves.

    `default_game`: name or id, in the default model, of the game for requests that do not name one.
    """

    def __init__(self, models: ModelRegistry, default_game: str | None = None) -> None:
        self._models = models
        self._default_game = default_game
        self._random = np.random.default_rng()
        self._decoders = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="decode")

    def close(self) -> None:
        """Stop the threads that decode images."""
        self._decoders.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, run beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work)

    async def frame(self, image: Image) -> bytes:
        """Return the image's frame, (256, 256, 3) uint8 bytes, decoded and resized beside the event loop.

        Raises:
            ImageError: the image is no usable picture.
        """
        return await self.in_thread(lambda: to_frame(image).tobytes())

    def accept(self, request: Request, frame: bytes | None, context: FrameContext) -> tuple[bytes, ...]:
        """Let a request act on its client's context; return the frames that its inference sees, newest last.

        `frame`: (256, 256, 3) uint8 bytes, of a predict.
        """
        if request.type == "reset":
            context.reset()
        if frame is None:
            return ()
        name = self._models.default.name if request.model is None else request.model
        model = self._models.known(name)
        facts = model.known_facts if model else None
        return context.append(name, frame, facts.context_length if facts else UNKNOWN_CONTEXT_LENGTH)

    async def answer(self, request: Request, frames: tuple[bytes, ...], deadline: float) -> Reply:
        """Return the reply to an accepted request; `deadline` is a time of the event loop's clock.

        Raises:
            RequestError: the request names an unknown model or game.
            ServerError: Triton could not answer.
        """
        if request.type == "reset":
            return Reply()
        model = await self._models.find(request.model)
        if request.type == "info":
            facts = await self._facts_for_info(model)
            models = sorted({*self._models.served, model.name})
            return Reply(info=facts.info(self._selected_game(facts)) | {"models": models})
        return Reply(chunk=await self._predict(model, request, frames, deadline))

    def counted_as(self, name: str | None) -> str:
        """Return the name under which metrics count a request's model; there are only as many as models."""
        model = self._models.known(name)
        return "unknown" if model is None else model.name

    async def ready(self) -> str | None:
        """Return None when a request would get its actions now, else the reason why not."""
        model = self._models.default
        reason = await model.ready()
        if reason is not None or model.known_facts is None:
            return reason
        try:
            self._game_id(UNSET, model.known_facts)
        except ServerError as error:
            return str(error)
        return None

    async def _predict(
        self, model: TritonModel, request: Request, frames: tuple[bytes, ...], deadline: float
    ) -> ActionChunk:
        """Return the chunk for a predict, of the version that Triton serves by then.

        A request that went wrong is made again when the facts have changed meanwhile, and only then. It may
        be, because inference has no effect but its answer.
        """
        facts = await model.fresh_facts()
        for _ in range(_MOST_SWAPS):
            try:
                return await self._infer(model, facts, request, frames, deadline)
            except (RequestError, NotServedError, ModelError):
                newer = await model.read_facts()
                if newer == facts:
                    raise
                facts = newer
        return await self._infer(model, facts, request, frames, deadline)

    async def _infer(
        self,
        model: TritonModel,
        facts: ModelFacts,
        request: Request,
        frames: tuple[bytes, ...],
        deadline: float,
    ) -> ActionChunk:
        return await model.infer(
            facts,
            frames[-facts.context_length :],
            self._game_id(request.game, facts),
            self._noise(request.seed, facts.horizon),
            deadline - asyncio.get_running_loop().time(),
        )

    async def _facts_for_info(self, model: TritonModel) -> ModelFacts:
        """Return the facts that Triton tells now, or the last known ones while it is down."""
        try:
            async with asyncio.timeout(_INFO_WAIT_S):
                return await model.read_facts()
        except (TimeoutError, ServerError) as error:
            if model.known_facts is not None:
                return model.known_facts
            if isinstance(error, ServerError):
                raise
            raise DeadlineError("Triton has not told the model's facts yet: ask again") from None

    def _noise(self, seed: int | None, horizon: int) -> NDArray[np.float32]:
        """Return x(0), (H, 25) float32: the same for the same seed, fresh without one."""
        random = self._random if seed is None else np.random.default_rng(seed)
        return random.standard_normal((horizon, ACTION_WIDTH), dtype=np.float32)

    def _game_id(self, game: str | int | Unset | None, facts: ModelFacts) -> int:
        if not isinstance(game, Unset):
            return facts.game_id(game)
        try:
            return facts.game_id(self._default(facts))
        except RequestError as error:
            raise ServerError(f"the gateway's --game is wrong: {error}") from None

    def _default(self, facts: ModelFacts) -> str | int | None:
        """Return the default game as a name when it is one, else as the id it may be.

        It was chosen for the default model: another model that has no game of this name has no default game.
        """
        game = self._default_game
        if game is None or game in facts.games:
            return game
        if facts.model != self._models.default.name:
            return None
        return int(game) if game.isascii() and game.isdigit() else game

    def _selected_game(self, facts: ModelFacts) -> str | None:
        """Return the default game's name, None without one; a game that the model does not have as given."""
        game = self._default(facts)
        if isinstance(game, int) and game < max(1, len(facts.games)):
            return facts.games[game] if game else None
        return game if game is None else self._default_game
