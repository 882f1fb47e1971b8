"""The connections of port 5555, looked at again and again: their times, and the memory of what arrives."""

import asyncio
import logging
import time
from collections.abc import Iterable

from gateway.ports.zmq.connection import ZmqConnection
from gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 0.25
# How much unfinished messages may take of memory, in messages of the largest size.
_UNFINISHED_MESSAGES = 8


async def watch_connections(connections: Iterable[ZmqConnection], settings: GatewaySettings) -> None:
    """End connections that are silent or slow, and those that fill the memory; never returns.

    One timer for all costs less than one for each.
    """
    shortest_s = min(
        settings.header_timeout_s,
        settings.request_timeout_s,
        settings.take_timeout_s,
        settings.idle_timeout_s,
        settings.first_request_timeout_s,
    )
    pause_s = min(_LONGEST_PAUSE_S, shortest_s / 4)
    while True:
        await asyncio.sleep(pause_s)
        now = time.perf_counter()
        there = [one for one in connections if one.is_open]
        for connection in there:
            connection.check_times(now)
        _check_memory(there, _UNFINISHED_MESSAGES * settings.max_message_bytes)


def _check_memory(connections: list[ZmqConnection], most_bytes: int) -> None:
    """Cut who holds most while the messages that are arriving take too much in all."""
    held = {one: one.stream.held_bytes for one in connections}
    while sum(held.values()) > most_bytes:
        greatest = max(held, key=held.__getitem__)
        logger.warning("%s is cut: unfinished messages take too much memory", greatest.peer)
        greatest.refuse("memory", f"it holds {held[greatest]} bytes of a message")
        del held[greatest]
