"""One ZeroMQ connection, the server's side: bytes in, messages out, and the bytes to send.

Whatever a peer sends, the stream holds at most `max_message_bytes` of it, and a handshake's few hundred.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.protocol.arriving import ArrivingBytes
from gateway.protocol.zmq.zmtp.errors import FrameError, KeyMismatchError, PeerError, StrangerError
from gateway.protocol.zmq.zmtp.frames import (
    COMMAND,
    GREETING_BYTES,
    MAX_IDENTITY_BYTES,
    MINOR_AT,
    MORE,
    FrameHeader,
    Introduction,
    command,
    frame,
    frame_header,
    greeting,
    greeting_problem,
    is_old,
    mechanism_of,
    old_greetings_rest,
    old_rest,
    split_command,
)

# A command: libzmq's handshake, and room for what others may add.
MAX_COMMAND_BYTES = 2048
# Frames that are read at once, so that a read full of tiny ones leaves the event loop to others.
_FRAMES_AT_ONCE = 16
# Bytes kept of a part beyond the limits: they tell the error reply's format.
_KEPT_BYTES = 16
# Messages up to this many times the limit get an error reply.
_TOLERANCE = 4
_MAX_PARTS = 1000
_MAX_OLD_GREETING_BYTES = GREETING_BYTES + MAX_IDENTITY_BYTES
_PING = b"PING"
_PONG = b"PONG"
# The status that libzmq itself sends, by its authentication protocol.
_NO_ACCESS = b"400"
_PING_CONTEXT = slice(2, 18)
_SEAL_BYTES = 64
_NOTHING = memoryview(b"")
_WITHOUT_KEYS = "it comes without CURVE keys, but this gateway needs them"

WantsMore = Callable[[Sequence[bytes | bytearray]], bool]


class Mechanism(Protocol):
    """A connection's handshake, and the form of its frames after that: `null` or `curve`.

    Attributes:
        seals: whether frames are sealed in boxes.
        peer: the other side's introduction, once `is_ready`.
        key: the other side's key, once `is_ready`.
    """

    name: bytes
    seals: bool
    is_ready: bool
    peer: Introduction
    key: bytes

    def answer(self, body: bytes) -> bytes:
        """Return the answer to a command of the handshake; raise a PeerError for an unknown one."""

    def opened(self, flags: int, body: bytes | bytearray) -> tuple[int, bytes | bytearray]:
        """Return the flags and the body of the frame in this one; raise a FrameError if it is wrong."""

    def sealed(self, flags: int, body: bytes) -> tuple[int, bytes]:
        """Return the flags and the body of the frame to send for this one."""


@dataclass(slots=True)
class Message:
    """A message.

    Attributes:
        parts: those that were kept; beyond the limit of bytes only their beginnings.
        size: the bytes of all its `count` parts.
    """

    parts: list[bytes | bytearray] = field(default_factory=list)
    size: int = 0
    count: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all parts were kept."""
        return self.count == len(self.parts)

    @property
    def held_bytes(self) -> int:
        """Bytes that its parts take."""
        return sum(map(len, self.parts))


class ZmtpStream:
    """One connection's parser.

    Args:
        mechanism: shakes hands.
        max_message_bytes: a message's bytes beyond it are skipped; far beyond it the stream ends.
        wants_more: whether to keep a message's next part, given the earlier ones.
    """

    def __init__(self, mechanism: Mechanism, max_message_bytes: int, wants_more: WantsMore) -> None:
        self.mechanism = mechanism
        # Whether reading needs more bytes first.
        self.is_starved = True
        self._max_message_bytes = max_message_bytes
        self._wants_more = wants_more
        self._pending = _NOTHING
        self._greeted = False
        self._header = FrameHeader(0, 0, 0)
        self._body: ArrivingBytes | None = None
        self._skip = 0  # bytes of the frame that are not kept
        self._message = Message()
        self._greeting = greeting(mechanism.name)
        # The rest follows the peer's: it depends on the peer's version, and a peer that sees another
        # mechanism than its own hangs up silently.
        self._outgoing = bytearray(self._greeting[:MINOR_AT])
        self._is_old = False

    @property
    def inside_message(self) -> bool:
        """Whether a message has begun and is not complete."""
        return bool(self._body or self._skip or self._message.count or self._pending)

    @property
    def held_bytes(self) -> int:
        """Bytes of the message that is arriving."""
        return self._message.held_bytes + (0 if self._body is None else len(self._body.data))

    def outgoing(self) -> bytes:
        """Return, once, the bytes that the protocol itself must send."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def body_buffer(self) -> memoryview | None:
        """Return a buffer for the next bytes while a large part arrives, None otherwise.

        Release the view before calling any method other than `body_received`.
        """
        return None if self._body is None or self._body.complete else self._body.buffer()

    def body_received(self, count: int) -> None:
        """Note that `count` bytes were written to the beginning of `body_buffer()`."""
        assert self._body is not None  # noqa: S101 - there was a buffer
        self._body.received += count
        self.is_starved = False

    def receive(self, data: memoryview) -> None:
        """Take bytes that came; they are copied."""
        self._pending = memoryview(b"".join((self._pending, data)))
        self.is_starved = False

    def next_message(self) -> Message | None:
        """Return the next message, None if none is complete or `_FRAMES_AT_ONCE` frames made none.

        Raises:
            PeerError: the connection cannot go on.
        """
        for _ in range(_FRAMES_AT_ONCE):
            if not (self._has_frame() if self._greeted else self._has_greeting()):
                self.is_starved = True
                return None
            body, self._body = self._body, None
            if body is not None and self._takes(body.data):
                message, self._message = self._message, Message()
                self.is_starved = not self._pending
                return message
        return None

    def encode(self, parts: list[bytes]) -> bytes:
        """Return a message's bytes."""
        frames = []
        for number, part in enumerate(parts, 1):
            flags, body = self.mechanism.sealed(MORE if number < len(parts) else 0, part)
            frames.append(frame(body, flags))
        return b"".join(frames)

    def _has_greeting(self) -> bool:
        problem = greeting_problem(bytes(self._pending[:GREETING_BYTES]))
        if problem is not None:
            raise StrangerError(problem)
        if is_old(bytes(self._pending[:GREETING_BYTES])):
            return self._has_old_greeting()
        if len(self._pending) < GREETING_BYTES:
            return False
        self._outgoing += self._greeting[MINOR_AT:]
        wanted = mechanism_of(bytes(self._pending[:GREETING_BYTES]))
        if wanted != self.mechanism.name:
            if self.mechanism.seals:
                raise KeyMismatchError(_WITHOUT_KEYS)
            if wanted == b"CURVE":
                raise KeyMismatchError(
                    "it uses CURVE keys, but this gateway has none: start the gateway with --curve-keys, or "
                    "the client without keys"
                )
            raise PeerError(f"it wants the security mechanism {wanted!r}, which this gateway does not know")
        self._pending = self._pending[GREETING_BYTES:]
        self._greeted = True
        return True

    def _has_old_greeting(self) -> bool:
        """Return whether a ZMTP 2.0 greeting is complete; no keys and no further handshake follow it."""
        if self.mechanism.seals:
            raise KeyMismatchError(_WITHOUT_KEYS)
        if not self._is_old:
            self._is_old = True
            self._outgoing += old_greetings_rest()
        found = old_rest(bytes(self._pending[:_MAX_OLD_GREETING_BYTES]))
        if found is None:
            return False
        self.mechanism.peer, size = found
        self.mechanism.is_ready = True
        self._pending = self._pending[size:]
        self._greeted = True
        return True

    def _has_frame(self) -> bool:
        """Read as far as the bytes go; return whether a whole frame is in `_header` and `_body`."""
        if self._body is None:
            header = frame_header(self._pending)
            if header is None:
                return False
            self._pending = self._pending[header.size :]
            self._header = header
            kept = self._kept_bytes(header)
            self._body, self._skip = ArrivingBytes(kept), header.length - kept
        self._pending = self._pending[self._body.take(self._pending) :]
        if self._skip and self._body.complete:
            skipped = min(self._skip, len(self._pending))
            self._pending = self._pending[skipped:]
            self._skip -= skipped
        return self._body.complete and not self._skip

    def _kept_bytes(self, header: FrameHeader) -> int:
        """Return how many bytes of a frame are kept.

        Raises:
            PeerError: the frame may not come now, or is far beyond the limits.
        """
        is_sealed = self.mechanism.seals and self.mechanism.is_ready
        if not (self.mechanism.is_ready or header.flags & COMMAND):
            raise PeerError("a message comes before the handshake is over")
        if header.flags & COMMAND and not is_sealed:
            if header.length > MAX_COMMAND_BYTES:
                raise PeerError(f"a command has {header.length} bytes, more than {MAX_COMMAND_BYTES}")
            return header.length
        message = self._message
        size = message.size + header.length
        if size > _TOLERANCE * self._max_message_bytes + (_SEAL_BYTES if is_sealed else 0):
            raise FrameError(f"a message has {size} bytes or more: send at most {self._max_message_bytes}")
        if message.count == _MAX_PARTS:
            raise FrameError(f"a message has more than {_MAX_PARTS} parts")
        if is_sealed:
            # A box can only be opened when it is complete.
            return header.length
        if not self._is_wanted(message):
            return 0
        return header.length if size <= self._max_message_bytes else min(header.length, _KEPT_BYTES)

    def _takes(self, body: bytes | bytearray) -> bool:
        """Take a whole frame; return whether it ends a message."""
        if not self.mechanism.is_ready:
            self._outgoing += self.mechanism.answer(bytes(body))
            return False
        flags, body = self.mechanism.opened(self._header.flags, body)
        length = len(body) if self.mechanism.seals else self._header.length
        if flags & COMMAND:
            name, data = split_command(bytes(body[:MAX_COMMAND_BYTES]))
            if name == _PING:
                self._pong(data)
            return False
        message = self._message
        message.size += length
        if self._is_wanted(message):
            message.parts.append(body if message.size <= self._max_message_bytes else body[:_KEPT_BYTES])
        message.count += 1
        return not flags & MORE

    def _is_wanted(self, message: Message) -> bool:
        """Return whether to keep the message's next part."""
        return not message.count or (message.is_whole and self._wants_more(message.parts))

    def _pong(self, ping: bytes) -> None:
        flags, body = self.mechanism.sealed(COMMAND, bytes((len(_PONG),)) + _PONG + ping[_PING_CONTEXT])
        self._outgoing += frame(body, flags)

    def refusal(self) -> bytes:
        """Return the bytes that refuse a peer in its handshake; libzmq then gives up."""
        return command(b"ERROR", bytes((len(_NO_ACCESS),)) + _NO_ACCESS)
