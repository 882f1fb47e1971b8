"""Limits for what libzmq does not limit: connections that are silent, and messages that are never completed.

A ZeroMQ message may have any number of parts, each small, and a program sees none before the last is there.
So the connections' bytes since their last whole message are looked at, and while the process grows with them,
the connection with the most is cut.
"""

import asyncio
import logging
import os
import time
from pathlib import Path

from gateway.transport.zmq_connections import Connections
from gateway.transport.zmq_descriptors import bytes_received

logger = logging.getLogger(__name__)

_PAUSE_S = 0.25
_LOOKED_AT_ONCE = 100
# Bytes without a message that are not one that has begun: a handshake, and an hour of pings.
_LARGEST_HEARTBEATS = 2**16
# What connections may have sent in all, without completing a message, before anybody cares.
_HARMLESS_BYTES = 4 * 2**20


async def watch_connections(
    connections: Connections, most_bytes: int, *, idle_timeout_s: float, request_timeout_s: float
) -> None:
    """Cut connections that are silent or slow, and those that fill the memory; never returns.

    `most_bytes`: how much this process may grow by messages without an end. `idle_timeout_s`: seconds without
    a message. `request_timeout_s`: seconds in which a message that has begun must be complete.
    """
    at_rest = resident_bytes()
    while True:
        await asyncio.sleep(_PAUSE_S)
        await _look_at_all(connections)
        now = time.monotonic()
        total, greatest = 0, (0, -1)
        for descriptor, connection in list(connections.open.items()):
            total += connection.unread
            greatest = max(greatest, (connection.unread, descriptor))
            if now - connection.heard_at > idle_timeout_s:
                connections.cut(descriptor, "idle")
            elif connection.begun_at is not None and now - connection.begun_at > request_timeout_s:
                connections.cut(descriptor, "slow_sender")
        if total < _HARMLESS_BYTES:
            at_rest = resident_bytes()
        elif resident_bytes() - at_rest > most_bytes:
            logger.warning("a connection is cut: %d bytes of messages without an end are held", total)
            connections.cut(greatest[1], "memory")


async def _look_at_all(connections: Connections) -> None:
    """Take down what each connection has sent since its last whole message."""
    for index, (descriptor, connection) in enumerate(list(connections.open.items())):
        if index % _LOOKED_AT_ONCE == _LOOKED_AT_ONCE - 1:
            await asyncio.sleep(0)
        if connections.open.get(descriptor) is not connection:
            continue
        received = bytes_received(descriptor)
        if connection.heard:
            connection.heard = False
            connection.received = received
            connection.heard_at = time.monotonic()
            connection.begun_at = None
        connection.unread = received - connection.received
        if connection.begun_at is None and connection.unread > _LARGEST_HEARTBEATS:
            connection.begun_at = time.monotonic()


def resident_bytes() -> int:
    """Return how much memory this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
