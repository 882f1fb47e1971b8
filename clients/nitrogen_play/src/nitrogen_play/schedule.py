"""Which step of which chunk is due, when chunks come while the game goes on."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from nitrogen_play.pad import NEUTRAL, PadState

_REMEMBERED_DELAYS = 5


@dataclass(frozen=True)
class DueStep:
    """The state to hold during a tick.

    Attributes:
        chunk: number of the chunk, from 0; -1 before the first.
        index: the step within it.
        is_fresh: whether it is a chunk's step at its time; otherwise there is none, and the last one is held
            on, or nothing is.
        by: who holds it, "model" or "human".
    """

    state: PadState
    chunk: int
    index: int
    is_fresh: bool
    by: str = "model"


class ChunkSchedule:
    """Holds the present chunk, and knows when the next one has to be asked for.

    A chunk's first step belongs to the tick whose picture it answers. When it arrives, the steps of the ticks
    that have passed since are dropped, and the rest takes over at once: it knows the newer picture. If all of
    them have passed, the last one is played. Then the last step is held for as long again as a chunk is, and
    after that the pad is let go.

    Args:
        ticks_per_step: ticks for which a step is held.
        steps_per_chunk: after how many steps of a chunk the next one should be there (those that came too
            late not counted), None for all. Until it is, the later steps are played.
    """

    def __init__(self, ticks_per_step: int, steps_per_chunk: int | None) -> None:
        self._ticks_per_step = ticks_per_step
        self._steps_per_chunk = steps_per_chunk
        self._states: Sequence[PadState] = ()
        self._first_tick = 0
        self._wanted_end = 0
        self._chunk = -1
        self.picture_tick = 0
        self._delays: deque[int] = deque(maxlen=_REMEMBERED_DELAYS)
        self.late_steps = 0

    def take(self, states: Sequence[PadState], picture_tick: int, now: int) -> bool:
        """Change over to a chunk that answers the picture of an earlier tick.

        Returns whether it came in time for at least one of its steps.
        """
        age = now - picture_tick
        passed = age // self._ticks_per_step
        late = min(passed, len(states) - 1)
        self._delays.append(age)
        self.late_steps += late
        self._states = states
        self.picture_tick = picture_tick
        # The picture's tick, unless the chunk came too late: then its last step is the present one.
        self._first_tick = now - late * self._ticks_per_step - age % self._ticks_per_step
        self._chunk += 1
        wanted = len(states) if self._steps_per_chunk is None else self._steps_per_chunk
        self._wanted_end = min(len(states), late + wanted)
        return passed < len(states)

    def clear(self) -> None:
        """Forget the chunk, as when the game began again."""
        self._states = ()
        self._wanted_end = 0

    def remaining(self, now: int) -> Sequence[PadState]:
        """Return the steps that are still to be held, from a tick on; none when all are over."""
        return self._states[(now - self._first_tick) // self._ticks_per_step :]

    def due(self, now: int) -> DueStep:
        """Return what is to be held during a tick."""
        index = (now - self._first_tick) // self._ticks_per_step
        if index < len(self._states):
            return DueStep(self._states[index], self._chunk, index, is_fresh=True)
        if index < 2 * len(self._states):
            return DueStep(self._states[-1], self._chunk, index, is_fresh=False)
        return DueStep(NEUTRAL, self._chunk, index if self._states else 0, is_fresh=False)

    def wants_chunk(self, now: int) -> bool:
        """Return whether a chunk asked for now comes just in time, as long as the last ones took."""
        if not self._states:
            return True
        remaining = self._first_tick + self._wanted_end * self._ticks_per_step - now
        return remaining <= max(self._delays, default=0) + self._ticks_per_step
