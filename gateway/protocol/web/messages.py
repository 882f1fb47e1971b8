"""The common part of the web port's formats: messages, and their meaning."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from gateway.protocol.messages import Event, Reply

_FINAL_TEXT = 0x81
_FINAL_BINARY = 0x82


@dataclass(frozen=True, slots=True)
class Message:
    """One WebSocket message."""

    data: bytes
    is_text: bool


@dataclass(frozen=True, slots=True)
class Incoming:
    """The meaning of a client's message, and how its reply becomes a message."""

    event: Event
    encode: Callable[[Reply], Message]


def frame_of(message: Message) -> bytes:
    """Return a server's message as one WebSocket frame (RFC 6455, 5.2): final, without a mask."""
    first = _FINAL_TEXT if message.is_text else _FINAL_BINARY
    length = len(message.data)
    if length < 126:
        head = bytes((first, length))
    elif length < 2**16:
        head = struct.pack(">BBH", first, 126, length)
    else:
        head = struct.pack(">BBQ", first, 127, length)
    return head + message.data
