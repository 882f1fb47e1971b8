"""The ROUTER socket of port 5555 and its options, each with its reason."""

import zmq

from gateway.settings import GatewaySettings
from gateway.transport.zmq_access import DOMAIN
from gateway.transport.zmq_keys import CurveKeys

# How long replies may still travel when the socket, or a connection, is closed.
_LINGER_MS = 300
# Requests of one client that libzmq holds before it stops reading from it; the event loop takes them at once.
_MOST_UNTAKEN = 4


def router_socket(
    context: "zmq.Context[zmq.Socket[bytes]]",
    settings: GatewaySettings,
    keys: CurveKeys | None,
    *,
    most_waiting: int,
) -> "zmq.Socket[bytes]":
    """Return a ROUTER socket for the port, not bound yet.

    `most_waiting`: requests by one connection that may wait for their reply.
    """
    router = context.socket(zmq.ROUTER)
    router.linger = _LINGER_MS
    # A client that comes back under its own identity takes it over from its dead connection.
    router.router_handover = True
    # A reply that cannot be handed over is told of, instead of vanishing.
    router.router_mandatory = True
    router.zap_domain = DOMAIN.encode()
    if keys is not None:
        keys.apply_to(router)
    router.handshake_ivl = _milliseconds(settings.header_timeout_s)
    # Messages between the two limits are answered; beyond this one libzmq drops the connection.
    router.maxmsgsize = 4 * settings.max_message_bytes
    router.rcvhwm = _MOST_UNTAKEN
    # All that can wait at once, and as much again that is on its way.
    router.sndhwm = 2 * most_waiting
    # A client that takes no bytes for this long is dropped.
    router.tcp_maxrt = _milliseconds(settings.take_timeout_s)
    # One that vanished without a word is noticed.
    router.tcp_keepalive = 1
    router.tcp_keepalive_idle = 60
    router.tcp_keepalive_intvl = 15
    router.tcp_keepalive_cnt = 4
    if ":" in settings.host:
        router.ipv6 = True
    return router


def _milliseconds(seconds: float) -> int:
    # libzmq's options are C integers.
    return min(max(1, round(seconds * 1000)), 2**31 - 1)
