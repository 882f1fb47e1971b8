"""The two formats of port 5555, and a question that tells which one a server understands.

The question is one message that is both: as msgpack, and as a pickle, it is `{"type": "info"}` (with fields
beside it that nobody reads). So a gateway answers it in msgpack, and a server of the older kind, whom a
message that is not a pickle would put out of service, answers it with a pickle.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, Callable, cast

import msgpack

from nitrogen_client import msgpack_format, pickle_format
from nitrogen_client.errors import ProtocolError
from nitrogen_client.images import Image

# Also the pickle opcode LONG1.
_MAP_OF_TEN = 0x8A
PROTOCOLS = ("auto", "msgpack", "pickle")


@dataclass(frozen=True)
class Format:
    """How requests are written and replies read.

    Attributes:
        name: "msgpack" or "pickle".
    """

    name: str
    encode: Callable[[dict[str, object], Image | None], bytes]
    decode: Callable[[bytes], dict[str, Any]]


MSGPACK = Format("msgpack", msgpack_format.encode, msgpack_format.decode)
PICKLE = Format("pickle", pickle_format.encode, pickle_format.decode)


def format_of(payload: bytes) -> Format:
    """Return the format of a reply, by its first byte.

    Raises:
        ProtocolError: it is in none of them.
    """
    if msgpack_format.is_msgpack(payload):
        return MSGPACK
    if payload[:1] == b"\x80":
        return PICKLE
    raise ProtocolError(
        f"the reply begins with {payload[:8]!r} and is neither msgpack nor a pickle: is it another program?"
    )


def _question() -> bytes:
    """Return `{"type": "info"}` in both formats at once.

    To msgpack the first two bytes mean: a map of ten items; a text of four characters. To a pickle they are
    LONG1 and its length byte: an integer whose bytes follow. These bytes hold the map up to its last value,
    and the pickle goes on with that value: it throws the integer away, and makes a dict.
    """
    # POP, and a dict of protocol 2 without the PROTO before it.
    as_pickle = b"0" + pickle.dumps({"type": "info"}, 2)[2:]
    first_key: bytes = msgpack.packb("type")
    items: bytes = first_key + msgpack.packb("info")
    items += b"".join(msgpack.packb(f"unused {number}") + msgpack.packb(None) for number in range(7))
    # A msgpack text of four characters begins with 0xA4, so the integer has 164 bytes.
    integer_bytes = first_key[0]
    last: bytes = msgpack.packb("pickle") + msgpack.packb(as_pickle)
    key: bytes = msgpack.packb("filling")
    missing = 1 + integer_bytes - len(items) - len(key) - (len(last) - len(as_pickle))
    # Two bytes are the header of the filling itself.
    items += key + cast(bytes, msgpack.packb(bytes(missing - 2)))
    return bytes([_MAP_OF_TEN]) + items + last


QUESTION = _question()
