"""A limit for what libzmq does not limit: the memory of messages that are never completed.

A ZeroMQ message may have any number of parts, each small, and a program sees none before the last is there.
So the connections' bytes since their last whole message are looked at, and while the process grows with them,
the connection with the most is cut.
"""

import asyncio
import logging
import os
from pathlib import Path

from gateway.transport.zmq_connections import Connections
from gateway.transport.zmq_descriptors import bytes_received

logger = logging.getLogger(__name__)

_PAUSE_S = 0.25
_LOOKED_AT_ONCE = 100
# What connections may have sent in all, without completing a message, before anybody cares.
_HARMLESS_BYTES = 4 * 2**20


async def watch_memory(connections: Connections, most_bytes: int) -> None:
    """Keep incomplete messages from making this process grow by more than `most_bytes`; never returns."""
    at_rest = resident_bytes()
    while True:
        await asyncio.sleep(_PAUSE_S)
        total, greatest = await _unread(connections)
        if total < _HARMLESS_BYTES:
            at_rest = resident_bytes()
        elif resident_bytes() - at_rest > most_bytes:
            logger.warning("a connection is cut: %d bytes of messages without an end are held", total)
            connections.cut(greatest, "memory")


async def _unread(connections: Connections) -> tuple[int, int]:
    """Return the bytes of incomplete messages, and the descriptor of who sent most of them."""
    total, most, greatest = 0, -1, -1
    for index, (descriptor, connection) in enumerate(list(connections.open.items())):
        if index % _LOOKED_AT_ONCE == _LOOKED_AT_ONCE - 1:
            await asyncio.sleep(0)
        if connections.open.get(descriptor) is not connection:
            continue
        received = bytes_received(descriptor)
        if connection.heard:
            connection.heard = False
            connection.received = received
        connection.unread = received - connection.received
        total += connection.unread
        if connection.unread > most:
            most, greatest = connection.unread, descriptor
    return total, greatest


def resident_bytes() -> int:
    """Return how much memory this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
