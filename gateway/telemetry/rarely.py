"""Log lines that are written at most once a minute."""

import time
from collections.abc import Callable

_PAUSE_S = 60.0
# Sayings that are remembered; the oldest is forgotten first.
_MAX_REMEMBERED = 1000


class Rarely:
    """Remembers what was said, and when.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def is_due(self, saying: str) -> bool:
        """Return whether something was not said within the last minute, and count it as said now."""
        now = self._clock()
        if now - self._said.get(saying, -_PAUSE_S) < _PAUSE_S:
            return False
        self._said.pop(saying, None)
        self._said[saying] = now
        if len(self._said) > _MAX_REMEMBERED:
            del self._said[next(iter(self._said))]
        return True
