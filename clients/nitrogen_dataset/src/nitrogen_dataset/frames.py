"""The frames of a data set: a picture, and what was pressed during its tick."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# (H, W, 3) RGB.
Picture = NDArray[np.uint8]

# The columns of an action: buttons are 0 or 1, the sticks' axes -1 to 1; right and down are positive.
ACTION_NAMES = (
    *("BACK", "DPAD_DOWN", "DPAD_LEFT", "DPAD_RIGHT", "DPAD_UP", "EAST", "GUIDE", "LEFT_SHOULDER"),
    *("LEFT_THUMB", "LEFT_TRIGGER", "NORTH", "RIGHT_BOTTOM", "RIGHT_LEFT", "RIGHT_RIGHT", "RIGHT_SHOULDER"),
    *("RIGHT_THUMB", "RIGHT_TRIGGER", "RIGHT_UP", "SOUTH", "START", "WEST"),
    *("J_LEFT_X", "J_LEFT_Y", "J_RIGHT_X", "J_RIGHT_Y"),
)
BUTTON_COUNT = 21


@dataclass(frozen=True, slots=True)
class Frame:
    """One tick of a game.

    Attributes:
        picture: (H, W, 3) uint8 RGB, the newest there was at this tick.
        picture_age: how many ticks ago it was taken; 0 for this tick's own.
        action: (25,) float32, what was held during the tick; the columns are `ACTION_NAMES`.
        by: who held it, "model" or "human".
        task: the game.
        place: where in its recording the picture is; a later picture's place sorts after it.
        begins: whether it does not continue the frame before it.
    """

    picture: Picture
    picture_age: int
    action: NDArray[np.float32]
    by: str
    task: str
    place: str
    begins: bool


@dataclass(frozen=True, slots=True)
class _Shown:
    tick: int
    picture: Picture
    task: str
    place: str
    begins: bool


class Pairing:
    """Pairs the pictures of one stretch of play with what was held, tick by tick.

    A tick's picture is the newest of those shown up to it. A tick is left out when that is more than
    `max_age` ticks old. After a tick that was left out, or that nothing is known about, the frames begin
    again with the next picture.

    Attributes:
        left_out: how many ticks had no picture.
    """

    def __init__(self, max_age: int) -> None:
        self.left_out = 0
        self._max_age = max_age
        self._waiting: deque[_Shown] = deque()
        self._newest: _Shown | None = None
        self._next_tick: int | None = None

    @property
    def waiting(self) -> int:
        """How many pictures wait for their ticks."""
        return len(self._waiting)

    def show(self, tick: int, picture: Picture, task: str, place: str, *, begins: bool = False) -> None:
        """Add the picture of a tick; ticks go up. Frames begin again with it if it `begins`."""
        self._waiting.append(_Shown(tick, picture, task, place, begins))

    def drop_oldest(self) -> None:
        """Forget the oldest picture that waits."""
        self._waiting.popleft()

    def hold(self, tick: int, action: NDArray[np.float32], by: str) -> Iterator[Frame]:
        """Yield the frame of a tick during which `action` was held, unless it has no picture."""
        while self._waiting and self._waiting[0].tick <= tick:
            self._newest = self._waiting.popleft()
        newest = self._newest
        age = -1 if newest is None else tick - newest.tick
        goes_on = tick == self._next_tick and not (newest is not None and newest.begins and age == 0)
        if newest is None or not (0 <= age <= self._max_age and (goes_on or age == 0)):
            self.left_out += 1
            self._next_tick = None
            return
        self._next_tick = tick + 1
        yield Frame(newest.picture, age, action, by, newest.task, newest.place, begins=not goes_on)
