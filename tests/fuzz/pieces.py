"""The rules that both of the TCP port's formats have to keep for any stream."""

from collections.abc import Callable

from gateway.errors import FramingError, RequestError
from gateway.protocol.messages import Event, Reply
from gateway.protocol.tcp.framed_stream import FramedStream
from tests.gateway.protocol.tcp.streams import receive_into_buffers, shown


def check_pieces(make: Callable[[], FramedStream], data: bytes) -> None:
    """Compare the stream as one piece and in pieces, whose size is the first byte."""
    step, stream = 1 + (data[0] if data else 0), data[1:]
    whole, pieces = make(), make()
    expected = whole.receive(stream)
    found: list[Event] = []
    for at in range(0, len(stream), step):
        found += receive_into_buffers(pieces, stream[at : at + step])
    assert shown(found) == shown(expected)
    assert whole.inside_request == pieces.inside_request
    assert str(whole.receive_eof()) == str(pieces.receive_eof())
    for event in expected:
        if isinstance(event, RequestError):
            assert len(str(event)) < 600
            whole.encode(Reply(error=str(event)))
    assert not any(isinstance(event, FramingError) for event in expected[:-1])
