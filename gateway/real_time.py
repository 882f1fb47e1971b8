"""Whether a game can be played in real time with what its model takes for an answer."""

import logging
import statistics
from collections import deque

from gateway.triton.facts import ModelFacts

logger = logging.getLogger(__name__)

# Each step of a chunk is held for one, as nitrogen-play and the play page do.
_TICKS_PER_S = 60
# Answers of which the median counts: the first of a model, and some beside other work, may be slow.
_ANSWERS = 9
_FEW_STEPS = 4


class RealTime:
    """Says, once for each version of a model, that its answers take longer than its chunks last.

    While one chunk is played the next one is asked for: it would be over before it came.
    """

    def __init__(self) -> None:
        # Each model's facts and the seconds of its last answers; None once the warning was logged.
        self._models: dict[str, tuple[ModelFacts, deque[float] | None]] = {}

    def answered(self, facts: ModelFacts, seconds: float) -> None:
        """Note how long a client waited for a model's answer; `seconds` counts the wait for other clients."""
        known, latest = self._models.get(facts.model, (None, None))
        if known is not facts:
            latest = deque(maxlen=_ANSWERS)
            self._models[facts.model] = facts, latest
        if latest is None:
            return
        latest.append(seconds)
        chunk_s = facts.horizon / _TICKS_PER_S
        if seconds <= chunk_s or len(latest) < _ANSWERS or statistics.median(latest) <= chunk_s:
            return
        self._models[facts.model] = facts, None
        logger.warning(
            "%s takes %.2f s to answer, but its %d actions last %.2f s at %d a second: it is too slow for "
            "real-time play. These help: %sfewer players at once, or playing in turns, where the game waits "
            "for each chunk",
            facts.model,
            statistics.median(latest),
            facts.horizon,
            chunk_s,
            _TICKS_PER_S,
            f"fewer sampler steps (--steps {_FEW_STEPS}, now {facts.inference_steps}), "
            if facts.inference_steps > _FEW_STEPS
            else "",
        )
