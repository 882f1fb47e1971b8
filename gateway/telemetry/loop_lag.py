"""How late the event loop is: the first thing to look at when everything is slow and nothing is busy."""

import asyncio
from collections import deque

_PERIOD_S = 0.25
_WINDOW_S = 15.0


class LoopLag:
    """Measures, four times a second, by how much a timer of the event loop comes late."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=round(_WINDOW_S / _PERIOD_S))
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._set()

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def greatest_s(self) -> float:
        """Return the greatest delay of the last 15 seconds, in seconds."""
        return max(self._latest, default=0.0)

    def _set(self) -> None:
        self._due = self._loop.time() + _PERIOD_S
        self._timer = self._loop.call_at(self._due, self._measure)

    def _measure(self) -> None:
        self._latest.append(max(0.0, self._loop.time() - self._due))
        self._set()
