"""Who plays: the clients that asked for actions within the last seconds."""

import time
from collections.abc import Callable, Hashable

WINDOW_S = 10.0
# An attacker that makes up a client per request is counted up to here, and remembered no further.
_MOST = 10_000


class RecentClients:
    """Counts the clients that were seen within the last `WINDOW_S` seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # In the order of their last sight, the longest unseen first.
        self._seen: dict[Hashable, float] = {}

    def saw(self, client: Hashable) -> None:
        """Note that a client is there; `client` tells it from the others."""
        now = self._clock()
        self._seen.pop(client, None)
        self._seen[client] = now
        self._forget(now)

    def count(self) -> int:
        """Return how many clients were seen lately."""
        self._forget(self._clock())
        return len(self._seen)

    def _forget(self, now: float) -> None:
        seen = self._seen
        while seen:
            eldest = next(iter(seen))
            if len(seen) <= _MOST and now - seen[eldest] <= WINDOW_S:
                return
            del seen[eldest]
