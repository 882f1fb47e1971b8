"""A connection's times on any port, when it is too slow, and when it is not read."""

import asyncio
import time

from gateway.errors import GatewayError, ServerError
from gateway.settings import GatewaySettings


class ConnectionTimes:
    """One connection's times; all are from `time.perf_counter`.

    Attributes:
        opened: the connection itself.
        active: the last byte in either direction; on the ZeroMQ port, the last request or reply.
        began: the first byte of a request that is not complete, None outside of one.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.opened = self.active = time.perf_counter()
        self.began: float | None = None
        # Bytes of replies that the client had not read at the last look, and since when.
        self._untaken = 0
        self._untaken_since = self.active

    def is_stuck(self, untaken: int, now: float) -> bool:
        """Return whether the client has read none of its replies' `untaken` bytes for too long."""
        if untaken == 0 or untaken < self._untaken:
            self._untaken_since = now
        self._untaken = untaken
        return untaken > 0 and now - self._untaken_since > self._settings.take_timeout_s

    def is_silent(self, now: float) -> bool:
        """Return whether nothing came for the time that a header may take."""
        return now - self.active > self._settings.header_timeout_s

    def is_overdue(self, now: float) -> bool:
        """Return whether a client has had its time to give the token."""
        return now - self.opened > self._settings.header_timeout_s

    def allowed_s(self, now: float, *, inside_header: bool) -> float | None:
        """Return the seconds that a request may take to arrive if this one took longer, else None."""
        if self.began is None:
            return None
        settings = self._settings
        if now - self.began > settings.request_timeout_s:
            return settings.request_timeout_s
        if inside_header and now - self.began > settings.header_timeout_s:
            return settings.header_timeout_s
        return None

    def idle(self, now: float) -> GatewayError | None:
        """Return the error for a client that has sent no request for too long, else None."""
        idle_s = now - self.active
        if idle_s <= self._settings.idle_timeout_s:
            return None
        return ServerError(f"no request for {idle_s:.0f} s, so the connection is closed: connect again")


class Reading:
    """Stops reading a connection while its next request would have to wait.

    This time does not count against the client.
    """

    def __init__(self, transport: asyncio.Transport, times: ConnectionTimes) -> None:
        self._transport = transport
        self._times = times
        self.is_paused = False

    def pause(self, *, wanted: bool) -> None:
        """Stop reading, or read again, unless the connection is closing anyway."""
        if wanted == self.is_paused or self._transport.is_closing():
            return
        self.is_paused = wanted
        if self._times.began is not None:
            self._times.began = time.perf_counter()
        (self._transport.pause_reading if wanted else self._transport.resume_reading)()
