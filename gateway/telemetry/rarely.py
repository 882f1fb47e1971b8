"""What is said of an address once a minute, however often it happens."""

import time
from collections.abc import Callable

_PAUSE_S = 60.0
# Addresses that are remembered; the one that was told of longest ago goes first.
_MOST = 1000


class Rarely:
    """Remembers of whom something was said, and when. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def is_due(self, address: str) -> bool:
        """Whether nothing was said of an address within the last minute; it counts as said now."""
        now = self._clock()
        if now - self._said.get(address, -_PAUSE_S) < _PAUSE_S:
            return False
        self._said.pop(address, None)
        self._said[address] = now
        if len(self._said) > _MOST:
            del self._said[next(iter(self._said))]
        return True
