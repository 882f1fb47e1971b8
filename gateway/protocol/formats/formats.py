"""A message of port 5555 is a pickle or msgpack, as its first byte tells; its reply has the same format.

A msgpack map begins with 0x81 to 0x8f, 0xde or 0xdf. A pickle begins with 0x80 (protocol 2 and later), or
with an ASCII character (0 and 1: `(` and `}` for a dict). Anything else counts as a pickle, as it did before
there was msgpack; an empty msgpack map, 0x80, would be no request anyway.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import UnsafePickleError
from gateway.protocol.formats import msgpack_format, pickle_format
from gateway.protocol.messages import Reply, Request

_FIRST_BYTES_OF_MAPS = frozenset({*range(0x81, 0x90), 0xDE, 0xDF})


@dataclass(frozen=True, slots=True)
class MessageFormat:
    """How to read a message and write its reply; both raise the errors of the format's functions."""

    decode_request: Callable[[bytes | memoryview], Request]
    encode_reply: Callable[[Reply], bytes]


def _refuse_pickle(_: bytes | memoryview) -> Request:
    raise UnsafePickleError(
        "this gateway does not accept pickles: send msgpack (docs/reference/protocols.md)"
    )


PICKLE = MessageFormat(pickle_format.decode_request, pickle_format.encode_reply)
# The message is not read at all; writing a pickle is harmless, and the sender can read it.
REFUSED_PICKLE = MessageFormat(_refuse_pickle, pickle_format.encode_reply)
MSGPACK = MessageFormat(msgpack_format.decode_request, msgpack_format.encode_reply)


def format_of(payload: bytes | memoryview, *, takes_pickle: bool = True) -> MessageFormat:
    """Return the format of a message, by its first byte; anything unknown counts as a pickle."""
    if len(payload) > 0 and payload[0] in _FIRST_BYTES_OF_MAPS:
        return MSGPACK
    return PICKLE if takes_pickle else REFUSED_PICKLE
