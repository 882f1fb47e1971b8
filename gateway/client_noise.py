"""One client's noise over its predicts: with a memory, or by the game's ticks."""

import math

import numpy as np
from numpy.typing import NDArray

from contract.gamepad import ACTION_WIDTH
from gateway.protocol.messages import MemoryNoise, TickNoise

# Rows to draw while the model's horizon is unknown; once it is known, the first of them are used.
UNKNOWN_HORIZON = 256


class ClientNoise:
    """Noise in which each chunk is N(0, I) but depends on the one before.

    It keeps one chunk's noise, and begins again with another horizon, which means another model.
    """

    __slots__ = ("_horizon", "_rows", "_tick")

    def __init__(self) -> None:
        self._rows = np.empty((0, ACTION_WIDTH), np.float32)
        self._horizon: int | None = None
        # The first row's tick, if the last noise was by tick.
        self._tick: int | None = None

    def next(
        self, noise: MemoryNoise | TickNoise, horizon: int | None, random: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return the noise of the client's next chunk, (H, 25) float32, read-only.

        Args:
            noise: the kind of noise that the request asks for.
            horizon: H; None while it is unknown: then the noise has `UNKNOWN_HORIZON` rows.
            random: draws the numbers.
        """
        count = UNKNOWN_HORIZON if horizon is None else horizon
        kept = self._rows[:count] if self._horizon is None else self._rows
        if len(kept) != count:
            kept = kept[:0]
        if isinstance(noise, MemoryNoise):
            rows = _mixed(kept, noise.memory, count, random)
            self._tick = None
        else:
            shift = -1 if self._tick is None else noise.tick - self._tick
            kept = kept[shift:] if shift >= 0 else kept[:0]
            rows = np.concatenate([kept, normal(random, count - len(kept))])
            self._tick = noise.tick
        self._rows, self._horizon = rows, horizon
        return rows


def normal(random: np.random.Generator, rows: int) -> NDArray[np.float32]:
    """Return fresh noise, (rows, 25) float32."""
    return random.standard_normal((rows, ACTION_WIDTH), dtype=np.float32)


def _mixed(
    kept: NDArray[np.float32], memory: float, count: int, random: np.random.Generator
) -> NDArray[np.float32]:
    if not len(kept):
        return normal(random, count)
    if memory == 1:
        return kept
    # The squares of the weights add up to 1, so the variance stays 1.
    return memory * kept + math.sqrt(1 - memory**2) * normal(random, count)
