"""The ZMTP parser: whatever bytes come, and however they are cut, it holds little and says what it wants."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.zmq_envelope import wants_more
from gateway.protocol.zmtp.errors import FrameError, PeerError
from gateway.protocol.zmtp.frames import frame, metadata
from gateway.protocol.zmtp.null import NullMechanism
from gateway.protocol.zmtp.stream import MOST_COMMAND_BYTES, Message, ZmtpStream

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32)
READY = frame(b"\x05READY" + metadata(Socket_Type=b"REQ", Identity=b"me"), 4)
MOST = 1000

part_lists = st.lists(st.binary(max_size=600), min_size=1, max_size=4)


def stream() -> ZmtpStream:
    return ZmtpStream(NullMechanism(), MOST, wants_more)


def pulled(one: ZmtpStream) -> list[Message]:
    """All messages that are there."""
    found = []
    while not one.is_starved:
        message = one.next_message()
        if message is not None:
            found.append(message)
    return found


def fed(one: ZmtpStream, data: bytes, cuts: list[int]) -> list[Message]:
    """Feed bytes in pieces, as a transport does: into the body where one is arriving."""
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        piece = memoryview(data)[begin:end]
        while piece:
            body = one.body_buffer()
            if body is None:
                one.receive(piece)
                taken = len(piece)
            else:
                taken = min(len(piece), len(body))
                body[:taken] = piece[:taken]
                body.release()
                one.body_received(taken)
            piece = piece[taken:]
            found += pulled(one)
            assert one.held_bytes <= MOST + MOST_COMMAND_BYTES + 256 * 1024
    return found


def sent(parts: list[bytes]) -> bytes:
    return b"".join(frame(part, 1) for part in parts[:-1]) + frame(parts[-1])


@given(st.lists(part_lists, max_size=4), st.data())
@settings(max_examples=200)
def test_any_cut_of_the_stream_gives_the_same_messages(
    messages: list[list[bytes]], data: st.DataObject
) -> None:
    everything = GREETING + READY + b"".join(map(sent, messages))
    cuts = data.draw(st.lists(st.integers(0, len(everything)), max_size=8).map(sorted))
    found = fed(stream(), everything, cuts)
    assert [(one.size, one.count) for one in found] == [
        (sum(map(len, parts)), len(parts)) for parts in messages
    ]
    for message, parts in zip(found, messages, strict=True):
        if message.is_whole and message.size <= MOST:
            assert message.parts == parts


@given(st.binary(max_size=2000), st.sampled_from([b"", GREETING, GREETING + READY]))
@settings(max_examples=500)
def test_any_bytes_make_messages_or_a_peer_error(data: bytes, before: bytes) -> None:
    told = ""
    try:
        fed(stream(), before + data, [])
    except PeerError as problem:
        told = str(problem)
    assert len(told) < 200


@given(part_lists)
def test_what_is_encoded_is_read_again(parts: list[bytes]) -> None:
    one = stream()
    fed(one, GREETING + READY, [])
    (message,) = fed(stream(), GREETING + READY + one.encode(parts), [])
    assert message.size == sum(map(len, parts))


@pytest.mark.parametrize(
    ("beyond", "says"),
    [
        (struct.pack(">BQ", 2, 4 * MOST + 1), "send at most 1000"),
        (struct.pack(">BQ", 2, 2**63), "send at most 1000"),
        (b"\x01\x00" * 1001, "more than 1000 parts"),
        (b"\x08\x00", "begins no frame"),
        (b"\x05\x00", "begins no frame"),
    ],
)
def test_frames_beyond_the_limits_end_the_connection(beyond: bytes, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        fed(stream(), GREETING + READY + beyond, [])


def test_a_message_over_the_limit_is_counted_and_not_kept() -> None:
    one = stream()
    (message,) = fed(one, GREETING + READY + sent([b"", b"\x82" + bytes(3000)]), [])
    assert (message.size, message.parts[1][:1]) == (3001, b"\x82")
    assert message.held_bytes < 100
