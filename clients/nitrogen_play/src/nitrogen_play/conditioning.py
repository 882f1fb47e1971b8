"""The rows that the next chunk continues, so that the pad does not jump at the seam."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from nitrogen_play.pad import MENU_BUTTONS, PadState

_REMEMBERED_DELAYS = 10


@dataclass(frozen=True)
class Previous:
    """The rest of the present plan.

    Attributes:
        states: the rows that are still to be pressed; the first belongs to the picture's tick. They lack the
            menu buttons that are not allowed: the next pictures show what was pressed, not what the model
            wanted.
        delay: how many of them will have been pressed when the answer arrives.
    """

    states: Sequence[PadState]
    delay: int


class Conditioning:
    """Knows the delays, and which plans may be continued.

    A chunk does not continue a plan whose picture is from before a break (a menu, a human who played): the
    game has moved on without that plan. No plan is continued before a delay is known.

    Args:
        ticks_per_step: ticks for which a row is held.
    """

    def __init__(self, ticks_per_step: int) -> None:
        self._ticks_per_step = ticks_per_step
        self._delays: deque[int] = deque(maxlen=_REMEMBERED_DELAYS)
        self._is_first = True
        self._since = 0

    def count_delay(self, ticks: int) -> None:
        """Count how long a chunk took; leave out the first, which may take a server much longer."""
        if not self._is_first:
            self._delays.append(-(-ticks // self._ticks_per_step))
        self._is_first = False

    def hold(self, state: PadState, tick: int, by: str) -> None:
        """Look at what is held during a tick."""
        if by != "model" or not MENU_BUTTONS.isdisjoint(state.pressed):
            self._since = tick + 1

    def previous(self, states: Sequence[PadState], picture_tick: int) -> Previous | None:
        """Return the rows that the next chunk continues; None if it should stand on its own.

        Args:
            states: what is left of the present plan, from the present tick on.
            picture_tick: of the picture that this plan answers.
        """
        if not states or not self._delays or picture_tick < self._since:
            return None
        return Previous(states, min(max(self._delays), len(states)))
