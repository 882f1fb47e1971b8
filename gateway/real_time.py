"""Whether a model answers fast enough to be played in real time."""

import logging
import statistics
from collections import deque

from gateway.triton.facts import ModelFacts

logger = logging.getLogger(__name__)

# Ticks a second; nitrogen-play and the play page hold each step for one tick.
_TICKS_PER_S = 60
# Their median counts: a model's first answer, and some on a busy machine, may be slow.
_ANSWERS = 9
_FEW_STEPS = 4


class RealTime:
    """Warns, once for each version of a model, that its answers take longer than its chunks last.

    The next chunk is asked for while one is played, which would then be over too early.
    """

    def __init__(self) -> None:
        # Each model's facts and the seconds of its last answers; None after the warning.
        self._models: dict[str, tuple[ModelFacts, deque[float] | None]] = {}

    def answered(self, facts: ModelFacts, seconds: float) -> None:
        """Note how long a client waited for a model's answer, the wait for other clients included."""
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
