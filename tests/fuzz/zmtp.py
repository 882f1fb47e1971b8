"""Port 5555's own protocol: any bytes are messages or an error, and the same in whatever pieces they come."""

from tests.gateway.protocol.zmq.zmtp_streams import GREETING, READY, feed, new_stream

MAX_BYTES = 1024
SEEDS = (
    b"\x07" + GREETING + READY + b"\x01\x00\x00\x02ab",
    b"\x00" + GREETING,
    b"\x10GET / HTTP/1.1\r\n\r\n",
)


def check(data: bytes) -> None:
    """Compare the stream as one piece and in pieces, whose size is the first byte."""
    step, sent = 1 + (data[0] if data else 0), data[1:]
    whole, pieces = new_stream(), new_stream()
    expected, problem = feed(whole, [sent])
    found, other = feed(pieces, [sent[at : at + step] for at in range(0, len(sent), step)])
    assert found == expected
    assert type(problem) is type(other)
    assert problem is None or len(str(problem)) < 300
    if problem is None:
        assert whole.outgoing() == pieces.outgoing()
        assert whole.inside_message == pieces.inside_message
