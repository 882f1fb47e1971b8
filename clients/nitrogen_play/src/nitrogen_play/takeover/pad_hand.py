"""A human with a gamepad: touching it takes over, letting it go gives back."""

import time
from collections.abc import Callable

from nitrogen_play.pad import NEUTRAL, STICK_MAX, PadState

_LET_GO_S = 2.0
# Sticks rest somewhere near their middle.
_DEAD_ZONE = 0.24


class PadHand:
    """The real pad that a human holds.

    Args:
        read: returns the pad's state now.
        clock: seconds.
    """

    gives_back = f"letting go of the pad for {_LET_GO_S:g} s gives back to the model"

    def __init__(self, read: Callable[[], PadState], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._touched_s: float | None = None

    def holds(self) -> PadState | None:
        """Return what the human holds now; None while the model plays."""
        state = self._read()
        state = PadState(state.pressed, _rested(state.left), _rested(state.right))
        now = self._clock()
        if state != NEUTRAL:
            self._touched_s = now
        elif self._touched_s is not None and now - self._touched_s >= _LET_GO_S:
            self._touched_s = None
        return None if self._touched_s is None else state


def _rested(stick: tuple[int, int]) -> tuple[int, int]:
    x, y = stick
    return stick if x * x + y * y >= (_DEAD_ZONE * STICK_MAX) ** 2 else (0, 0)
