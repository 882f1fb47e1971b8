"""Sends predicts to Triton: up to the limit at once, and again if a version was swapped.

A request names the version that it was made for, so Triton refuses it if that was swapped. The request is
then made again for the version that is served now. That is safe, because inference has no other effect than
its answer.
"""

import asyncio
import math
from collections.abc import Callable

from gateway.errors import BusyError, ModelError, NotServedError, RequestError
from gateway.protocol.messages import ActionChunk
from gateway.triton.facts import ModelFacts
from gateway.triton.model import TritonModel
from gateway.triton.tensors import ModelInputs

# How often a request is made again because its version was swapped.
_MAX_SWAPS = 5
# In a rollout, several Tritons get a version one after the other. A request for it is then made again for
# this long, until it reaches one that has it; the pause prevents a storm.
_REFUSED_FOR_S = 1.0
_REFUSAL_PAUSE_S = 0.02
# The minimum of attempts: on a busy machine a single one may use up the whole second.
_MIN_REFUSALS = 5


class Dispatcher:
    """Sends predicts to Triton's models.

    Args:
        max_at_triton: the limit per model; further predicts are refused.
        on_dispatch: called for each predict that goes to Triton, with its model and how many of that model's
            are there now.
    """

    def __init__(
        self, max_at_triton: float = math.inf, on_dispatch: Callable[[str, int], None] | None = None
    ) -> None:
        self._max_at_triton = max_at_triton
        self._on_dispatch = on_dispatch
        self._at_triton: dict[str, int] = {}

    async def predict(
        self,
        model: TritonModel,
        inputs_for: Callable[[ModelFacts], ModelInputs],
        deadline: float,
        request_id: str = "",
    ) -> ActionChunk:
        """Return a chunk from the version that Triton serves by then.

        Args:
            model: the one to ask.
            inputs_for: returns the inputs for the version with these facts, or raises RequestError.
            deadline: on the event loop's clock.
            request_id: its name in Triton's log and traces.

        Raises:
            RequestError: `inputs_for` raised it for every version.
            BusyError: the model's limit of requests at Triton is reached.
            ServerError: Triton could not answer.
        """
        facts: ModelFacts | None = None
        clock = asyncio.get_running_loop().time
        swaps, refusals, give_up = 0, 0, math.inf
        while True:
            try:
                if facts is None:
                    facts = await model.fresh_facts()
                inputs = inputs_for(facts)
                self._one_more_at_triton(model.name)
                try:
                    return await model.infer(facts, inputs, deadline - clock(), request_id)
                finally:
                    self._one_less_at_triton(model.name)
            except (RequestError, NotServedError, ModelError) as error:
                if facts is None and not model.is_balanced:
                    raise
                give_up = min(give_up, clock() + _REFUSED_FOR_S)
                newer = await _facts_after(error, model, facts)
                refusals += 1
                if newer is None and (clock() < give_up or refusals < _MIN_REFUSALS):
                    await asyncio.sleep(_REFUSAL_PAUSE_S)
                elif newer is None or (swaps >= _MAX_SWAPS and clock() >= give_up):
                    raise
                else:
                    facts, swaps = newer, swaps + 1

    def _one_more_at_triton(self, model: str) -> None:
        there = self._at_triton.get(model, 0)
        if there >= self._max_at_triton:
            raise BusyError(
                f"Triton has {self._max_at_triton} of the gateway's requests, the limit: "
                "send the request again later"
            )
        self._at_triton[model] = there + 1
        if self._on_dispatch is not None:
            self._on_dispatch(model, there + 1)

    def _one_less_at_triton(self, model: str) -> None:
        there = self._at_triton[model] - 1
        if there:
            self._at_triton[model] = there
        else:
            del self._at_triton[model]


async def _facts_after(error: Exception, model: TritonModel, facts: ModelFacts | None) -> ModelFacts | None:
    """Return facts that differ from those with which a request failed.

    It returns None if they are the same but another Triton may serve them, and raises `error` if there is no
    other Triton.
    """
    may_be_elsewhere = model.is_balanced and isinstance(error, NotServedError)
    try:
        newer = await model.read_facts()
        if newer != facts:
            return newer
    except NotServedError:
        if not may_be_elsewhere:
            raise
    if not may_be_elsewhere:
        raise error
    return None
