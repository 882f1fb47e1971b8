"""The data plane: it turns a request into a reply, and knows neither sockets nor formats.

A request has two stages. `accept` puts its frame into the client's context and must be called in order of
arrival; `answer` asks Triton and may run for many requests at once. `session` keeps that order.
"""

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.client_noise import UNKNOWN_HORIZON, normal
from gateway.contexts import UNKNOWN_CONTEXT_LENGTH, Context
from gateway.decoder_threads import DecoderThreads
from gateway.default_game import DefaultGame
from gateway.errors import DeadlineError, ServerError
from gateway.images import MAX_IMAGE_PIXELS, as_frame, is_frame
from gateway.protocol.messages import Frame, FreshNoise, Image, Reply, Request, Unset
from gateway.real_time import RealTime
from gateway.triton.dispatcher import Dispatcher
from gateway.triton.facts import ModelFacts
from gateway.triton.model import TritonModel
from gateway.triton.registry import ModelRegistry
from gateway.triton.tensors import ModelInputs

logger = logging.getLogger(__name__)

# How long `info` waits for Triton before it gives the last known facts.
_INFO_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The inputs of a predict that come from its client's context.

    Attributes:
        frames: newest last.
        noise: (H, 25) float32, H as it was known when the predict came; None if the noise does not depend on
            the client.
    """

    frames: tuple[Frame, ...] = ()
    noise: NDArray[np.float32] | None = None


NOTHING = Seen()


class DataPlane:
    """Answers requests with the models that Triton serves.

    Args:
        models: those that Triton serves.
        default_game: name or id, in the default model, of the game for requests that name none.
        on_dispatch: as for the `Dispatcher`.
        max_image_pixels: the largest image.
        max_at_triton: as for the `Dispatcher`.
        random: draws the noise of requests without a seed.
    """

    def __init__(
        self,
        models: ModelRegistry,
        default_game: str | None = None,
        on_dispatch: Callable[[str, int], None] | None = None,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
        max_at_triton: float = math.inf,
        random: np.random.Generator | None = None,
    ) -> None:
        self._models = models
        self._default_game = DefaultGame(default_game, models.default.name)
        models.default.on_new_facts = self._check_default_game
        self._dispatcher = Dispatcher(max_at_triton, on_dispatch)
        self._real_time = RealTime()
        self._max_image_pixels = max_image_pixels
        self._random = random or np.random.default_rng()
        self._next_noise: dict[int, NDArray[np.float32]] = {}
        self.decoders = DecoderThreads(min(4, os.cpu_count() or 1))

    def close(self) -> None:
        """Stop the threads that decode images."""
        self.decoders.close()

    async def frame(self, image: Image) -> Frame:
        """Return the image's frame; a thread decodes and resizes it if need be.

        Raises:
            ImageError: the image cannot be used.
        """
        if is_frame(image):
            return as_frame(image)
        return await self.decoders.run(lambda: as_frame(image, self._max_image_pixels))

    def accept(self, request: Request, frame: Frame | None, context: Context) -> Seen:
        """Apply a request to its client's context; return the inputs of its inference.

        Args:
            request: any kind of request.
            frame: that of a predict.
            context: the client's.
        """
        if request.type == "reset":
            context.reset()
        if frame is None:
            return NOTHING
        name = self._models.default.name if request.model is None else request.model
        model = self._models.known(name)
        if model is None:
            # Triton does not serve this model, as far as is known. It is a switch, but made-up names must not
            # fill the memory.
            context.reset()
            return Seen((frame,))
        facts = model.known_facts
        frames = context.append(name, frame, facts.context_length if facts else UNKNOWN_CONTEXT_LENGTH)
        if isinstance(request.noise, FreshNoise):
            return Seen(frames)
        horizon = facts.horizon if facts else None
        return Seen(frames, context.noise.next(request.noise, horizon, self._random))

    async def answer(self, request: Request, seen: Seen, deadline: float, *, request_id: str = "") -> Reply:
        """Return the reply to an accepted request.

        Args:
            request: the one that was accepted.
            seen: what `accept` returned for it.
            deadline: on the event loop's clock.
            request_id: its name in Triton's log and traces.

        Raises:
            RequestError: the request names an unknown model or game.
            BusyError: the model's limit of requests at Triton is reached.
            ServerError: Triton could not answer.
        """
        if request.type in ("reset", "played"):
            return Reply()
        model = await self._models.find(request.model)
        if request.type == "info":
            facts = await self._facts_for_info(model)
            models = sorted({*self._models.served, model.name})
            return Reply(info=facts.info(self._default_game.name(facts)) | {"models": models})
        begun = time.perf_counter()
        chunk = await self._dispatcher.predict(
            model, lambda facts: self._inputs(request, seen, facts), deadline, request_id
        )
        if model.known_facts is not None:
            self._real_time.answered(model.known_facts, time.perf_counter() - begun)
        return Reply(chunk=chunk)

    def metric_labels(self, name: str | None) -> tuple[str, int]:
        """Return a request's model and version for metrics: "unknown" and 0 if they are unknown."""
        model = self._models.known(name)
        if model is None:
            return "unknown", 0
        return model.name, (model.known_facts.version if model.known_facts else None) or 0

    async def ready(self) -> str | None:
        """Return None if a request would get actions now, else the reason why not."""
        model = self._models.default
        reason = await model.ready()
        if reason is not None or model.known_facts is None:
            return reason
        try:
            self._default_game.id(model.known_facts)
        except ServerError as error:
            return str(error)
        return None

    def _inputs(self, request: Request, seen: Seen, facts: ModelFacts) -> ModelInputs:
        if not isinstance(request.game, Unset):
            game_id = facts.game_id(request.game)
        elif request.prompt is not None and request.prompt in facts.games:
            game_id = facts.game_id(request.prompt)
        else:
            game_id = self._default_game.id(facts)
        noise = self._noise(request.seed, seen.noise, facts.horizon)
        conditioning = facts.conditioning_on(request.previous)
        return ModelInputs(seen.frames[-facts.context_length :], game_id, noise, conditioning)

    async def _facts_for_info(self, model: TritonModel) -> ModelFacts:
        """Return Triton's present facts, or the last known ones while it is down."""
        try:
            async with asyncio.timeout(_INFO_WAIT_S):
                return await model.read_facts()
        except (TimeoutError, ServerError) as error:
            if model.known_facts is not None:
                return model.known_facts
            if isinstance(error, ServerError):
                raise
            raise DeadlineError("Triton has not given the model's facts yet: ask again") from None

    def _noise(
        self, seed: int | None, of_client: NDArray[np.float32] | None, horizon: int
    ) -> NDArray[np.float32]:
        """Return x(0), (H, 25) float32: the seed's, the client's, or fresh."""
        if seed is not None:
            return normal(np.random.default_rng(seed), horizon)
        if of_client is not None:
            if len(of_client) == UNKNOWN_HORIZON:
                of_client = of_client[:horizon]
            # Else it was made for a version that has been swapped since.
            if len(of_client) == horizon:
                return of_client
        noise = self._next_noise.pop(horizon, None)
        # The next request's noise is made while this one is at Triton.
        asyncio.get_running_loop().call_soon(self._prepare_noise, horizon)
        return normal(self._random, horizon) if noise is None else noise

    def _prepare_noise(self, horizon: int) -> None:
        if horizon not in self._next_noise:
            self._next_noise[horizon] = normal(self._random, horizon)

    def _check_default_game(self, facts: ModelFacts) -> None:
        """Log an error if the model does not have the default game; only its facts tell."""
        try:
            self._default_game.id(facts)
        except ServerError as error:
            logger.error("%s; requests that name no game get this error", error)
