"""The ZMTP parser: whatever bytes come, and however they are cut, it holds little and says what it wants."""

import itertools
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.protocol.zmq.zmtp.errors import FrameError, IdentityError
from gateway.protocol.zmq.zmtp.frames import COMMAND, MORE, frame, metadata
from tests.gateway.protocol.zmq.zmtp_streams import (
    GREETING,
    MAX_MESSAGE_BYTES,
    OLD_GREETING,
    READY,
    feed,
    new_stream,
)

part_lists = st.lists(st.binary(max_size=600), min_size=1, max_size=4)


def sent(parts: list[bytes]) -> bytes:
    return b"".join(frame(part, 1) for part in parts[:-1]) + frame(parts[-1])


@given(st.sampled_from([GREETING + READY, OLD_GREETING]), st.lists(part_lists, max_size=4), st.data())
@settings(max_examples=200)
def test_any_cut_of_the_stream_gives_the_same_messages(
    begin: bytes, messages: list[list[bytes]], data: st.DataObject
) -> None:
    everything = begin + b"".join(map(sent, messages))
    cuts = data.draw(st.lists(st.integers(0, len(everything)), max_size=8).map(sorted))
    pieces = [everything[one:next_] for one, next_ in itertools.pairwise([0, *cuts, len(everything)])]
    stream = new_stream()
    found, problem = feed(stream, pieces)
    assert problem is None
    assert (stream.mechanism.peer.socket_type, stream.mechanism.peer.identity) == (b"REQ", b"me")
    assert [(one.size, one.count) for one in found] == [
        (sum(map(len, parts)), len(parts)) for parts in messages
    ]
    for message, parts in zip(found, messages, strict=True):
        if message.is_whole and message.size <= MAX_MESSAGE_BYTES:
            assert message.parts == parts


@given(st.binary(max_size=2000), st.sampled_from([b"", GREETING, GREETING + READY, OLD_GREETING[:11]]))
@settings(max_examples=500)
def test_any_bytes_make_messages_or_a_peer_error(data: bytes, before: bytes) -> None:
    _, problem = feed(new_stream(), [before + data])
    assert problem is None or 0 < len(str(problem)) < 300


def test_a_peer_of_zmtp_2_is_told_the_sockets_kind_before_it_tells_its_own() -> None:
    stream = new_stream()
    first = stream.outgoing()
    feed(stream, [OLD_GREETING[:11]])
    assert first + stream.outgoing() == first[:10] + b"\x03" + b"\x06" + frame(b"")
    (message,), _ = feed(stream, [OLD_GREETING[11:] + sent([b"", b"request"])])
    assert message.parts == [b"", b"request"]
    assert stream.outgoing() == b""


def test_a_reserved_name_is_not_taken_from_a_peer_of_zmtp_2_either() -> None:
    _, problem = feed(new_stream(), [OLD_GREETING[:12] + frame(b"\0me")])
    assert isinstance(problem, IdentityError)


def test_a_greeting_of_zmtp_2_is_taken_once_all_of_its_identity_is_there() -> None:
    stream = new_stream()
    assert feed(stream, [OLD_GREETING[:-1]]) == ([], None)
    assert not stream.mechanism.is_ready
    feed(stream, [OLD_GREETING[-1:]])
    assert stream.mechanism.peer.identity == b"me"


def test_a_name_that_is_too_long_is_not_taken() -> None:
    ready = frame(b"\x05READY" + metadata(Socket_Type=b"REQ", Identity=b"m" * 256), COMMAND)
    _, problem = feed(new_stream(), [GREETING + ready])
    assert isinstance(problem, IdentityError)
    assert "its identity has 256 bytes" in str(problem)


def test_a_greeting_of_zmtp_2_that_goes_on_with_no_identity_is_refused() -> None:
    _, problem = feed(new_stream(), [OLD_GREETING[:12] + frame(b"me", MORE)])
    assert "greeting has no identity" in str(problem)


def test_a_ping_is_answered_between_the_frames_of_a_message() -> None:
    stream = new_stream()
    feed(stream, [GREETING + READY])
    stream.outgoing()
    (message,), _ = feed(
        stream, [frame(b"", MORE), frame(b"\x04PING\x00\x0acontext", COMMAND), frame(b"request")]
    )
    assert message.parts == [b"", b"request"]
    assert stream.outgoing() == frame(b"\x04PONGcontext", COMMAND)


def test_an_identity_that_zeromq_keeps_for_itself_is_refused() -> None:
    ready = frame(b"\x05READY" + metadata(Socket_Type=b"REQ", Identity=b"\0me"), COMMAND)
    _, problem = feed(new_stream(), [GREETING + ready])
    assert isinstance(problem, IdentityError)


@given(part_lists)
@example([b"", b"reply"])
def test_what_is_encoded_is_read_again(parts: list[bytes]) -> None:
    (message,), _ = feed(new_stream(), [GREETING + READY + new_stream().encode(parts)])
    assert message.size == sum(map(len, parts))


@pytest.mark.parametrize(
    ("beyond", "says"),
    [
        (struct.pack(">BQ", 2, 4 * MAX_MESSAGE_BYTES + 1), "send at most 1000"),
        (struct.pack(">BQ", 2, 2**63), "send at most 1000"),
        (b"\x01\x00" * 1001, "more than 1000 parts"),
        (b"\x08\x00", "no frame begins with"),
        (b"\x05\x00", "no frame begins with"),
    ],
)
def test_frames_beyond_the_limits_end_the_connection(beyond: bytes, says: str) -> None:
    messages, problem = feed(new_stream(), [GREETING + READY + beyond])
    assert messages == []
    assert isinstance(problem, FrameError)
    assert says in str(problem)


def test_a_message_over_the_limit_is_counted_and_not_kept() -> None:
    (message,), _ = feed(new_stream(), [GREETING + READY + sent([b"", b"\x82" + bytes(3000)])])
    assert (message.size, message.parts[1][:1]) == (3001, b"\x82")
    assert message.held_bytes < 100
