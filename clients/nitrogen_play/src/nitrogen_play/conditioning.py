"""The rows from which the next chunk goes on, so that the plan does not jump where it takes over."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from nitrogen_play.pad import MENU_BUTTONS, PadState

_REMEMBERED_DELAYS = 10


@dataclass(frozen=True)
class Previous:
    """The rest of the present plan.

    Attributes:
        states: the rows that are still to be pressed; the first is that of the picture's tick. They are what
            will have been pressed, without the menu buttons that are not allowed: the next pictures show the
            game as those rows move it, not as the model once wanted.
        delay: how many of them will have been pressed when the answer is there.
    """

    states: Sequence[PadState]
    delay: int


class Conditioning:
    """Knows the delays, and which plans may be continued.

    A plan whose picture was taken before a break (a menu, a human who played) is not continued: it answers a
    game that is no longer played. Before a delay is known, none is.

    Args:
        ticks_per_step: ticks for which a row is held.
    """

    def __init__(self, ticks_per_step: int) -> None:
        self._ticks_per_step = ticks_per_step
        self._delays: deque[int] = deque(maxlen=_REMEMBERED_DELAYS)
        self._is_first = True
        self._since = 0

    def count_delay(self, ticks: int) -> None:
        """Count how long a chunk took; the first is left out, which a server may need much longer for."""
        if not self._is_first:
            self._delays.append(-(-ticks // self._ticks_per_step))
        self._is_first = False

    def hold(self, state: PadState, tick: int, by: str) -> None:
        """Look at what is held during a tick."""
        if by != "model" or not MENU_BUTTONS.isdisjoint(state.pressed):
            self._since = tick + 1

    def previous(self, states: Sequence[PadState], picture_tick: int) -> Previous | None:
        """Return what the next chunk goes on from; None if it should be on its own.

        Args:
            states: what is left of the present plan, from the present tick on.
            picture_tick: of the picture that this plan answers.
        """
        if not states or not self._delays or picture_tick < self._since:
            return None
        return Previous(states, min(max(self._delays), len(states)))
