"""When a connection is read: not while what its client sends next would have to wait."""

import asyncio
import time

from gateway.ports.times import ConnectionTimes


class Reading:
    """Pauses and resumes one connection; the time in which it is not read is not its client's."""

    def __init__(self, transport: asyncio.Transport, times: ConnectionTimes) -> None:
        self._transport = transport
        self._times = times
        self.is_paused = False

    def pause(self, *, wanted: bool) -> None:
        """Read no more, or again, unless the connection is closed anyway."""
        if wanted == self.is_paused or self._transport.is_closing():
            return
        self.is_paused = wanted
        if self._times.began is not None:
            self._times.began = time.perf_counter()
        (self._transport.pause_reading if wanted else self._transport.resume_reading)()
