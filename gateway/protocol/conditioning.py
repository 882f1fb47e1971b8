"""Chunk conditioning: the rows that a chunk should fit, as the model takes them (docs/reference/model.md)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.gamepad import ACTION_WIDTH
from gateway.errors import RequestError
from gateway.protocol.messages import Previous

# Rows after those that will have been pressed in which the pull fades. More glue a player to a stale plan.
_TAIL = 2


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """Two of a model's inputs.

    Attributes:
        previous: (H, 25) float32, as x(1), in the checkpoint's own columns.
        weight: (H,) float32, how much of each row is kept, from 0 to 1; rows of weight 0 are ignored.
    """

    previous: NDArray[np.float32]
    weight: NDArray[np.float32]


def conditioning_on(previous: Previous, horizon: int, *, old_layout: bool) -> Conditioning:
    """Return a model's inputs for the rows that its chunk should fit.

    Raises:
        RequestError: there are more rows than the horizon.
    """
    count = len(previous.buttons)
    if count > horizon:
        raise RequestError(
            f"previous has {count} rows, but the model's chunks have {horizon}: send the rows that are still "
            "to be pressed, and none of another model"
        )
    sticks = [(stick + 1) / 2 for stick in (previous.j_left, previous.j_right)]
    raw = np.zeros((horizon, ACTION_WIDTH), np.float32)
    raw[:count] = np.hstack([*sticks, previous.buttons] if old_layout else [previous.buttons, *sticks])
    weight = np.zeros(horizon, np.float32)
    weight[:count] = [_weight(row, previous.delay) for row in range(count)]
    return Conditioning(raw, weight)


def _weight(row: int, delay: int) -> float:
    """Return 1 for a row that will have been pressed by then, and a share that falls to 0 after them."""
    if row < delay:
        return 1.0
    share = max(delay + _TAIL - row, 0) / (_TAIL + 1)
    return share * math.expm1(share) / math.expm1(1)
