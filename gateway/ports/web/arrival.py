"""A message or request of the web port that is still arriving: how much of it came, and since when."""

import time

from gateway.ports.times import ConnectionTimes

# A client's control frame (RFC 6455, 5.2): two bytes and a mask before its data.
_CONTROL_HEAD_BYTES = 6


class Arrival:
    """Counts a connection's bytes; `times.began` is when the first byte of an unfinished message came."""

    def __init__(self, times: ConnectionTimes) -> None:
        self.held_bytes = 0
        self._times = times

    def received(self, count: int) -> None:
        """Count bytes that have come."""
        now = self._times.active = time.perf_counter()
        if self._times.began is None:
            self._times.began = now
        self.held_bytes += count

    def waited(self) -> None:
        """Note that nothing was read for a while, which does not count against the client."""
        if self._times.began is not None:
            self._times.began = time.perf_counter()

    def whole(self) -> float:
        """Note that a message is complete; return when its first byte came."""
        began = time.perf_counter() if self._times.began is None else self._times.began
        self._times.began = None
        self.held_bytes = 0
        return began

    def control(self, length: int) -> None:
        """Note a ping or pong of `length` bytes, which may come between a message's parts."""
        self.held_bytes = max(0, self.held_bytes - _CONTROL_HEAD_BYTES - length)
        if self.held_bytes == 0:
            self._times.began = None
