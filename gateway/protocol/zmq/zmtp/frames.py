"""ZMTP's wire format: the greetings of 3 and of 2.0, frames, commands, and a handshake's metadata."""

import struct
from dataclasses import dataclass

from gateway.protocol.tcp.foreign_streams import stranger
from gateway.protocol.zmq.zmtp.errors import FrameError, IdentityError, PeerError

GREETING_BYTES = 64
_SIGNATURE = b"\xff" + bytes(7) + b"\x01\x7f"
_VERSION = b"\x03\x01"
_MAJOR_AT = 10
MINOR_AT = 11
_MECHANISM_AT = 12
_MECHANISM_BYTES = 20

MORE = 1
_LONG = 2
COMMAND = 4
_FLAGS = MORE | _LONG | COMMAND
_LONG_LENGTH = struct.Struct(">Q")
_VALUE_LENGTH = struct.Struct(">I")
_MAX_IN_SHORT = 255

MAX_IDENTITY_BYTES = 255
# In ZMTP 2.0 (RFC 15), the socket's kind and the identity follow the first number of the version.
_OLD_KINDS = {3: b"REQ", 5: b"DEALER", 6: b"ROUTER"}
_OLD_ROUTER = b"\x06"
_OLD_IDENTITY_AT = 12
# Sockets that may talk to a ROUTER, by RFC 28.
_PEERS = frozenset({b"REQ", b"DEALER", b"ROUTER"})
# How many of a peer's bytes an error shows.
SHOWN_BYTES = 20


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The beginning of a frame: its flags, its body's length, and its own length."""

    flags: int
    length: int
    size: int


@dataclass(frozen=True, slots=True)
class Introduction:
    """A peer's own description: its socket's kind, and its identity, b"" for none."""

    socket_type: bytes = b""
    identity: bytes = b""


def greeting(mechanism: bytes) -> bytes:
    """Return a server's greeting; `mechanism` is its name, such as `NULL`."""
    head = _SIGNATURE + _VERSION + mechanism.ljust(_MECHANISM_BYTES, b"\0") + b"\x01"
    return head.ljust(GREETING_BYTES, b"\0")


def old_greetings_rest() -> bytes:
    """Return what follows the first number of the version in a greeting to a peer of ZMTP 2.0."""
    return _OLD_ROUTER + frame(b"")


def greeting_problem(data: bytes) -> str | None:
    """Return what is wrong with a peer's greeting, or None; its bytes may be incomplete."""
    if data[:1] != b"\xff" or (len(data) > 9 and not data[9] & 1):
        begins = f"what came is not ZeroMQ: it begins with {data[:SHOWN_BYTES]!r}"
        known = stranger(data, "ZeroMQ")
        return begins if known is None else f"{begins}; {known}"
    if len(data) > _MAJOR_AT and not data[_MAJOR_AT]:
        return "it speaks a version of ZeroMQ's protocol before 2.0: use ZeroMQ 3.2 or newer"
    return None


def is_old(peers_greeting: bytes) -> bool:
    """Return whether a peer's greeting, even an incomplete one, says that it speaks ZMTP 2.0."""
    return len(peers_greeting) > _MAJOR_AT and peers_greeting[_MAJOR_AT] < _VERSION[0]


def old_rest(peers_greeting: bytes) -> tuple[Introduction, int] | None:
    """Return a ZMTP 2.0 peer's introduction and the size of its greeting; None if that is incomplete.

    Raises:
        PeerError: the greeting is torn, or the peer's socket is of the wrong kind.
        IdentityError: the peer chose an identity that ZeroMQ reserves.
    """
    header = frame_header(memoryview(peers_greeting)[_OLD_IDENTITY_AT:])
    if header is None:
        return None
    if header.flags:
        raise PeerError("its greeting has no identity")
    begin = _OLD_IDENTITY_AT + header.size
    identity = peers_greeting[begin : begin + header.length]
    if len(identity) < header.length:
        return None
    kind = peers_greeting[MINOR_AT]
    return _checked(_OLD_KINDS.get(kind, b"of kind %d" % kind), identity), begin + header.length


def mechanism_of(peers_greeting: bytes) -> bytes:
    """Return the name of the mechanism in a whole greeting."""
    return peers_greeting[_MECHANISM_AT : _MECHANISM_AT + _MECHANISM_BYTES].rstrip(b"\0")


def frame_header(data: memoryview) -> FrameHeader | None:
    """Return the header at the beginning of some bytes, None if it needs more.

    Raises:
        FrameError: no frame begins like that.
    """
    if not data:
        return None
    flags = data[0]
    if flags & ~_FLAGS or flags & (COMMAND | MORE) == COMMAND | MORE:
        raise FrameError(f"no frame begins with the byte {flags:#04x}")
    size = 9 if flags & _LONG else 2
    if len(data) < size:
        return None
    length = _LONG_LENGTH.unpack_from(data, 1)[0] if flags & _LONG else data[1]
    return FrameHeader(flags, length, size)


def frame(body: bytes, flags: int = 0) -> bytes:
    """Return a frame's bytes."""
    if len(body) <= _MAX_IN_SHORT:
        return bytes((flags, len(body))) + body
    return bytes((flags | _LONG,)) + _LONG_LENGTH.pack(len(body)) + body


def command(name: bytes, data: bytes = b"") -> bytes:
    """Return the bytes of a command's frame."""
    return frame(bytes((len(name),)) + name + data, COMMAND)


def split_command(body: bytes) -> tuple[bytes, bytes]:
    """Return a command's name and data.

    Raises:
        PeerError: its name is cut off.
    """
    end = 1 + body[0] if body else 1
    if len(body) < end:
        raise PeerError("a command's name is cut off")
    return body[1:end], body[end:]


def metadata(**values: bytes) -> bytes:
    """Return the bytes of a handshake's metadata; underscores in names become hyphens."""
    return b"".join(
        bytes((len(name),)) + name.replace("_", "-").encode() + _VALUE_LENGTH.pack(len(value)) + value
        for name, value in values.items()
    )


def introduction(data: bytes) -> Introduction:
    """Return the introduction in a peer's metadata.

    Raises:
        PeerError: the metadata is torn, or the peer's socket is of the wrong kind.
        IdentityError: the peer chose an identity that ZeroMQ reserves, or one that is too long.
    """
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        value_at = at + 1 + data[at] + _VALUE_LENGTH.size
        if value_at > len(data):
            raise PeerError("its metadata is torn")
        end = value_at + _VALUE_LENGTH.unpack_from(data, value_at - _VALUE_LENGTH.size)[0]
        if end > len(data):
            raise PeerError("its metadata is torn")
        found[data[at + 1 : value_at - _VALUE_LENGTH.size].lower()] = data[value_at:end]
        at = end
    return _checked(found.get(b"socket-type", b""), found.get(b"identity", b""))


def _checked(kind: bytes, identity: bytes) -> Introduction:
    """Return a peer's introduction, after checking its socket's kind and its identity."""
    if kind not in _PEERS:
        raise PeerError(f"its socket is {kind[:SHOWN_BYTES]!r}: use REQ or DEALER")
    if identity.startswith(b"\0"):
        raise IdentityError(f"its identity {identity[:SHOWN_BYTES]!r} begins with a zero byte")
    if len(identity) > MAX_IDENTITY_BYTES:
        raise IdentityError(
            f"its identity has {len(identity)} bytes: choose one of at most {MAX_IDENTITY_BYTES}"
        )
    return Introduction(kind, identity)
