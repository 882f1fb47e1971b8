"""Clocks of games that run by themselves, and of games that can be stopped."""

import time
from collections.abc import Callable


class RealTimeClock:
    """The clock of a game that runs by itself: ticks pass whether or not anybody waits for them."""

    stands_still = False

    def __init__(self, ticks_per_s: float) -> None:
        self.ticks_per_s = ticks_per_s
        self._began: float | None = None
        self._tick = 0

    def now(self) -> int:
        """Return the number of the present tick. Ticks that were missed are left out."""
        # Rounded: one who wakes a little late is still at the beginning of a tick, not at the next one's.
        self._tick = max(self._tick, round(self._elapsed_s() * self.ticks_per_s))
        return self._tick

    def tick(self) -> bool:
        """Wait for the next tick; return False."""
        self._tick += 1
        time.sleep(max(0.0, self._tick / self.ticks_per_s - self._elapsed_s()))
        return False

    def is_late(self) -> bool:
        """Return whether the present tick should be over already."""
        return self._elapsed_s() > (self._tick + 1) / self.ticks_per_s

    def _elapsed_s(self) -> float:
        """Return seconds since this was asked for the first time."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        return now - self._began


class StoppingClock:
    """The clock of a game that is stopped between its ticks.

    Args:
        set_speed: called with 1.0 to let the game run, with 0.0 to stop it.
    """

    stands_still = True

    def __init__(self, ticks_per_s: float, set_speed: Callable[[float], None]) -> None:
        self.ticks_per_s = ticks_per_s
        self._set_speed = set_speed
        self._tick = 0
        self._is_stopped = False

    def now(self) -> int:
        """Return how many ticks the game was let run; the first time, stop it."""
        if not self._is_stopped:
            self._set_speed(0.0)
            self._is_stopped = True
        return self._tick

    def tick(self) -> bool:
        """Let the game run for one tick; return False."""
        self._set_speed(1.0)
        try:
            time.sleep(1 / self.ticks_per_s)
        finally:
            self._set_speed(0.0)
            self._is_stopped = True
        self._tick += 1
        return False

    def is_late(self) -> bool:
        """Return False: the game waits."""
        return False


class Pacer:
    """Makes calls come at an even rate; one that is late shifts those after it."""

    def __init__(self, per_s: float) -> None:
        self._period_s = 1 / per_s
        self._due = 0.0
        self._is_begun = False

    def wait(self) -> None:
        """Wait until the next call is due."""
        self._due = max(self._due + self._period_s, time.monotonic())
        self._is_begun = True
        time.sleep(max(0.0, self._due - time.monotonic()))

    def is_late(self) -> bool:
        """Return whether the call after the last one is due already."""
        return self._is_begun and time.monotonic() > self._due + self._period_s
