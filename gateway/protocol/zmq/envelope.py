"""The envelope of a ZeroMQ request: the frames before its empty one, which go back with the reply.

A REQ socket writes the empty frame, and with REQ_CORRELATE a request's number before it. Every broker on the
way (a ROUTER that passes on to a DEALER) puts its name for the sender in front.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import RequestError

MAX_FRAMES = 16
MAX_BYTES = 1024
# As libzmq writes it: a counter that begins anywhere.
_NUMBER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message taken apart.

    Attributes:
        back: the frames that go before the reply.
        sender: the brokers' names for the sender, the nearest broker's first; empty without a broker.
        body: the request's bytes.
        problem: why the message is not a request.
    """

    back: list[bytes]
    sender: tuple[bytes, ...]
    body: memoryview
    problem: RequestError | None = None


def wants_more(frames: Sequence[bytes | bytearray]) -> bool:
    """Return whether to read the frame after these: an envelope is bounded, a request one frame."""
    if not frames[-1]:
        return b"" not in frames[:-1]
    return b"" not in frames and len(frames) <= MAX_FRAMES and sum(map(len, frames)) <= MAX_BYTES


def is_probe(frames: Sequence[bytes | bytearray]) -> bool:
    """Return whether a message is the empty one that a socket with ZMQ_PROBE_ROUTER sends first.

    A REQ socket drops its connection if it gets an answer. Brokers put their names for the sender in front.
    """
    *names, last = frames
    return not last and all(map(is_nameless, names))


def is_nameless(name: bytes | bytearray) -> bool:
    """Return whether libzmq made up a broker's name for a client: another client gets it some day."""
    return name.startswith(b"\0")


def read_envelope(frames: Sequence[bytes | bytearray], *, is_whole: bool, is_from_req: bool) -> Envelope:
    """Take a message apart. A lone frame is a request without an envelope, as a DEALER may send it.

    Args:
        frames: those of the message so far.
        is_whole: whether the message has no more frames.
        is_from_req: whether the peer is a REQ socket, so that only a request's number can be before the empty
            frame.
    """
    parts = [memoryview(frame) for frame in frames]
    if b"" in frames[:-1]:
        end = frames.index(b"")
        back = [bytes(frame) for frame in frames[: end + 1]]
        problem = None if is_whole else "several parts after its empty one"
        return Envelope(back, _sender(back[:end], is_from_req), parts[end + 1], _error(problem))
    if is_whole:
        back = [bytes(frame) for frame in frames[:-1]]
        problem = None if len(frames) == 1 else "several parts, and no empty one before the last"
        return Envelope(back, (), parts[-1], _error(problem))
    problem = f"several parts, and no empty one within the first {MAX_FRAMES + 1} and {MAX_BYTES} bytes"
    return Envelope([], (), parts[0], _error(problem))


def _sender(names: list[bytes], is_from_req: bool) -> tuple[bytes, ...]:
    """Return an envelope's names without the request's number, which differs each time."""
    if names and len(names[-1]) == _NUMBER_BYTES and (is_from_req or len(names) > 1):
        names = names[:-1]
    return tuple(names)


def _error(problem: str | None) -> RequestError | None:
    if problem is None:
        return None
    return RequestError(f"the message has {problem}: send an empty part, then one with the whole request")
