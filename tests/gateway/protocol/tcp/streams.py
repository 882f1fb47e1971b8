"""Feeding a TCP stream: whole, in pieces, byte by byte, and into its own buffers as the transport does."""

from collections.abc import Callable
from itertools import pairwise

from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.protocol.messages import Event
from gateway.protocol.tcp.framed_stream import FramedStream

CUTS = st.lists(st.integers(0, 400), max_size=8)


def shown(events: list[Event]) -> list[object]:
    """The events in a form that can be compared: errors by their class and text."""
    return [(type(event), str(event)) if isinstance(event, RequestError) else event for event in events]


def receive_into_buffers(stream: FramedStream, data: bytes | memoryview) -> list[Event]:
    """Receive one chunk, into the stream's own buffer wherever it offers one."""
    events: list[Event] = []
    rest = memoryview(data)
    while rest:
        buffer = stream.body_buffer()
        if buffer is None:
            # A small scratch, so that bodies begin in one chunk and end in the next.
            events += stream.receive(bytes(rest[:7]))
            rest = rest[7:]
            continue
        count = min(len(buffer), len(rest))
        assert count > 0
        buffer[:count] = rest[:count]
        events += stream.body_received(count)
        buffer.release()
        rest = rest[count:]
    return events


def assert_cuts_do_not_matter(make: Callable[[], FramedStream], data: bytes, cuts: list[int]) -> None:
    """Compare what a parser makes of the stream as one piece and of its pieces; the stream ends then."""
    whole, bytewise, cut, buffered = make(), make(), make(), make()
    expected = shown(whole.receive(data))
    assert shown([event for byte in data for event in bytewise.receive(bytes([byte]))]) == expected
    edges = sorted({0, len(data), *(min(where, len(data)) for where in cuts)})
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert shown([event for piece in pieces for event in cut.receive(piece)]) == expected
    assert shown([event for piece in pieces for event in receive_into_buffers(buffered, piece)]) == expected
    streams = (whole, bytewise, cut, buffered)
    assert len({stream.inside_request for stream in streams}) == 1
    assert len({stream.inside_header for stream in streams}) == 1
    assert len({str(stream.receive_eof()) for stream in streams}) == 1
