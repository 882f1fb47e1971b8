"""A ZMTP stream without its connection: what a client sends, and how a transport feeds it."""

from gateway.protocol.zmq.envelope import wants_more
from gateway.protocol.zmq.zmtp.errors import PeerError
from gateway.protocol.zmq.zmtp.frames import frame, metadata
from gateway.protocol.zmq.zmtp.null import NullMechanism
from gateway.protocol.zmq.zmtp.stream import MAX_COMMAND_BYTES, Message, ZmtpStream

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32)
READY = frame(b"\x05READY" + metadata(Socket_Type=b"REQ", Identity=b"me"), 4)
OLD_GREETING = b"\xff" + bytes(8) + b"\x7f\x01\x03" + frame(b"me")
MAX_MESSAGE_BYTES = 1000
_FIRST_BUFFER_BYTES = 2**18


def new_stream() -> ZmtpStream:
    """A stream that has seen nothing yet."""
    return ZmtpStream(NullMechanism(), MAX_MESSAGE_BYTES, wants_more)


def feed(stream: ZmtpStream, pieces: list[bytes]) -> tuple[list[Message], PeerError | None]:
    """Feed bytes as a transport does, into the part that is arriving; the messages, and what ended them."""
    found: list[Message] = []
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[_received(stream, rest) :]
                while not stream.is_starved:
                    message = stream.next_message()
                    found += [] if message is None else [message]
                assert stream.held_bytes <= MAX_MESSAGE_BYTES + MAX_COMMAND_BYTES + _FIRST_BUFFER_BYTES
    except PeerError as problem:
        return found, problem
    return found, None


def _received(stream: ZmtpStream, data: memoryview) -> int:
    body = stream.body_buffer()
    if body is None:
        stream.receive(data)
        return len(data)
    with body:
        count = min(len(data), len(body))
        body[:count] = data[:count]
    stream.body_received(count)
    return count
