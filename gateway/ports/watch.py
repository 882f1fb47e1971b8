"""Checks one port's connections regularly: their times, and the memory of unfinished requests."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.settings import GatewaySettings

_MAX_PAUSE_S = 0.25


class Watched(Protocol):
    """A connection that is open.

    Attributes:
        held_bytes: of the request that is arriving.
    """

    @property
    def held_bytes(self) -> int: ...  # noqa: D102 - described by the class

    def check_times(self, now: float) -> None:
        """End the connection if it is too slow or was silent too long; `now` is from `time.perf_counter`."""

    def cut(self) -> None:
        """End the connection: all together hold too much memory, and this one holds most."""


async def watch_connections(
    connections: Callable[[], Iterable[Watched]], settings: GatewaySettings, max_bytes: int
) -> None:
    """End connections that are silent or slow, and those that fill the memory; never return.

    One timer for all costs less than one for each.

    Args:
        connections: returns those that are open.
        settings: the gateway's, with the time limits.
        max_bytes: what all unfinished requests together may hold.
    """
    shortest_s = min(
        settings.header_timeout_s,
        settings.request_timeout_s,
        settings.take_timeout_s,
        settings.idle_timeout_s,
        settings.first_request_timeout_s,
    )
    pause_s = min(_MAX_PAUSE_S, shortest_s / 4)
    while True:
        await asyncio.sleep(pause_s)
        now = time.perf_counter()
        watched = list(connections())
        for connection in watched:
            connection.check_times(now)
        held = {one: bytes_ for one in watched if (bytes_ := one.held_bytes)}
        while sum(held.values()) > max_bytes:
            greatest = max(held, key=held.__getitem__)
            greatest.cut()
            del held[greatest]
