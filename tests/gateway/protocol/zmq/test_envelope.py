"""The envelope of a ZeroMQ request: what goes back, whose the request is, and what is too much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.zmq.envelope import (
    MAX_BYTES,
    MAX_FRAMES,
    Envelope,
    is_nameless,
    is_probe,
    read_envelope,
    wants_more,
)

NUMBER = b"\x81\x00\x12\x9f"
NAME = b"\x00\x6b\x8b\x45\x67"


def read(message: list[bytes], *, is_from_req: bool = False) -> Envelope:
    """Take a message apart as the transport does: frame by frame, as long as more are wanted."""
    frames = message[:1]
    while len(frames) < len(message) and wants_more(frames):
        frames.append(message[len(frames)])
    return read_envelope(frames, is_whole=frames == message, is_from_req=is_from_req)


@pytest.mark.parametrize(
    ("frames", "is_from_req", "sender"),
    [
        ([b""], True, ()),
        ([NUMBER, b""], True, ()),
        ([b""], False, ()),
        ([NAME, b""], False, (NAME,)),
        ([b"bob", b""], False, (b"bob",)),
        ([b"anna", b""], False, (b"anna",)),
        ([NAME, NUMBER, b""], False, (NAME,)),
        ([NAME, b"bob", b""], False, (NAME, b"bob")),
        ([NAME, NAME, NUMBER, b""], False, (NAME, NAME)),
    ],
    ids=[
        *("REQ", "correlated", "DEALER", "broker", "named behind a broker", "a name as long as a number"),
        *("correlated behind a broker", "two brokers", "correlated behind two"),
    ],
)
def test_a_request_is_its_senders_and_goes_back_as_it_came(
    frames: list[bytes], is_from_req: bool, sender: tuple[bytes, ...]
) -> None:
    assert read([*frames, b"request"], is_from_req=is_from_req) == Envelope(frames, sender, b"request")


def test_a_probe_is_an_empty_message_of_nobody_that_has_a_name() -> None:
    assert is_probe([b""])
    assert is_probe([NAME, NAME, b""])
    assert not is_probe([b"bob", b""])
    assert not is_probe([NAME, b"request"])


def test_libzmqs_own_names_begin_with_a_zero() -> None:
    assert is_nameless(NAME)
    assert not is_nameless(b"bob")


def test_a_lone_frame_is_a_request() -> None:
    assert read([b"request"]) == Envelope([], (), b"request")
    assert read([b""]) == Envelope([], (), b"")


@pytest.mark.parametrize(
    ("message", "back", "problem"),
    [
        ([b"", b"a", b"b"], [b""], "several parts after its empty one"),
        ([b"name", b"request"], [b"name"], "no empty one before the last"),
        ([b"name", b""], [b"name"], "no empty one before the last"),
        ([b"n"] * (MAX_FRAMES + 1) + [b"", b"request"], [], "no empty one within the first 17"),
        ([b"n" * MAX_BYTES, b"n", b"", b"request"], [], "no empty one within the first 17 and 1024 bytes"),
    ],
)
def test_what_is_no_envelope_is_told_so(message: list[bytes], back: list[bytes], problem: str) -> None:
    found = read(message)
    assert found.back == back
    assert problem in str(found.problem)
    assert "send an empty part, then one with the whole request" in str(found.problem)


@pytest.mark.parametrize(
    "names", [[b"n"] * MAX_FRAMES, [b"n" * MAX_BYTES]], ids=["most frames", "most bytes"]
)
def test_an_envelope_within_the_limits_is_read(names: list[bytes]) -> None:
    assert read([*names, b"", b"request"]) == Envelope([*names, b""], tuple(names), b"request")


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=2 * MAX_FRAMES))
def test_of_any_message_little_is_read_and_something_answered(message: list[bytes]) -> None:
    found = read(message)
    assert len(found.back) <= MAX_FRAMES + 1
    assert sum(map(len, found.back)) <= MAX_BYTES + 6
    if found.problem is None:
        assert [*found.back, found.body] == message
