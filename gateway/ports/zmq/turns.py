"""Turns for connections of port 5555 that have sent more than is read at once."""

import asyncio
from collections import deque
from collections.abc import Callable

# Calls per round of the event loop, so that a flood leaves time for players.
_IN_A_ROUND = 8


class Turns:
    """Calls that take turns; some are made in each round of the running event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_due = False

    def wait(self, go_on: Callable[[], None]) -> None:
        """Make a call after all that already wait."""
        self._waiting.append(go_on)
        self._expect_round()

    def _expect_round(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._round)

    def _round(self) -> None:
        self._is_due = False
        for _ in range(min(_IN_A_ROUND, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            self._expect_round()
