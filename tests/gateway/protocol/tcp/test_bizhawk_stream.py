"""Port 5556's BizHawk format: frames with a decimal length, screenshots, commands, lasting options."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import FramingError, RequestError
from gateway.protocol.json_format import reply_line
from gateway.protocol.messages import (
    UNSET,
    ActionChunk,
    Event,
    Hello,
    ImageFile,
    Reply,
    Request,
    Timing,
)
from gateway.protocol.tcp.bizhawk_stream import BizHawkStream
from gateway.protocol.tcp.json_stream import JsonStream
from gateway.protocol.tcp.streams import stream_for
from tests.gateway.protocol.tcp.streams import CUTS, assert_cuts_do_not_matter

PNG = b"\x89PNG\r\n\x1a\n..."
OK = Reply()


def frame(payload: bytes) -> bytes:
    return b"%d %b" % (len(payload), payload)


def command(**fields: object) -> bytes:
    return frame(json.dumps(fields).encode())


def receive_all(data: bytes, stream: BizHawkStream | None = None) -> list[Event]:
    return (stream or BizHawkStream()).receive(data)


# Requests.


def test_a_framed_picture_is_a_predict() -> None:
    assert receive_all(frame(PNG)) == [Request("predict", ImageFile(PNG, "pad", may_be_raw=False))]


@pytest.mark.parametrize("type_", ["reset", "info"])
def test_commands_are_framed_json(type_: str) -> None:
    assert receive_all(command(type=type_)) == [Request(type_)]  # type: ignore[arg-type]


def test_many_requests_come_in_their_order() -> None:
    data = command(type="info") + frame(PNG) + command(type="options") + frame(b"{") + command(type="reset")
    kinds = [getattr(event, "type", type(event)) for event in receive_all(data)]
    assert kinds == ["info", "predict", Reply, RequestError, "reset"]


def test_a_hello_is_an_event_that_does_not_show_its_token() -> None:
    (event,) = receive_all(command(type="hello", token="s3cret"))
    assert event == Hello("s3cret")
    assert "s3cret" not in repr(event)
    (error,) = receive_all(command(type="hello", token=["s3cret"]))
    assert type(error) is RequestError
    assert "s3cret" not in str(error)


def test_an_image_is_told_from_a_command_by_its_first_byte() -> None:
    for begun, is_image in ((b"", False), (b"4 ", False), (b"4 {", False), (b"4 \x89", True)):
        stream = BizHawkStream()
        assert stream.receive(begun) == []
        assert stream.inside_image is is_image


def test_who_sends_nothing_but_wrong_requests_is_not_listened_to_forever() -> None:
    *errors, last = receive_all(command(type="nonsense") * 100)
    assert {type(error) for error in errors} == {RequestError}
    assert type(last) is FramingError
    assert len(errors) < 40


# Options.


def test_options_hold_for_all_later_requests_of_the_connection() -> None:
    stream = BizHawkStream()
    set_options = command(type="options", resize_mode="crop", seed=7, game="Zelda", model="fast", timing=True)
    assert receive_all(set_options, stream) == [OK]
    predict = Request("predict", ImageFile(PNG, "crop", may_be_raw=False), 7, "Zelda", True, "fast")
    assert receive_all(frame(PNG) + frame(PNG), stream) == [predict, predict]
    assert receive_all(command(type="info"), stream) == [Request("info", None, 7, "Zelda", True, "fast")]


def test_options_replace_all_earlier_ones() -> None:
    stream = BizHawkStream()
    receive_all(command(type="options", resize_mode="crop", seed=7), stream)
    assert receive_all(command(type="options", game=None), stream) == [OK]
    (event,) = receive_all(frame(PNG), stream)
    assert event == Request("predict", ImageFile(PNG, "pad", may_be_raw=False), game=None)


def test_a_command_may_name_options_of_its_own() -> None:
    stream = BizHawkStream()
    receive_all(command(type="options", model="fast"), stream)
    assert receive_all(command(type="info", model="slow"), stream) == [Request("info", model="slow")]
    (event,) = receive_all(command(type="info"), stream)
    assert event == Request("info", model="fast")
    assert isinstance(event, Request)
    assert event.game is UNSET


WRONG_OPTIONS = {
    "unknown name": {"resize": "crop"},
    "unknown mode": {"resize_mode": "fill"},
    "mode is null": {"resize_mode": None},
    "seed is negative": {"seed": -1},
    "seed is true": {"seed": True},
    "game is a list": {"game": ["Zelda"]},
    "timing is a number": {"timing": 1},
    "model is a number": {"model": 1},
}


@pytest.mark.parametrize("wrong", WRONG_OPTIONS.values(), ids=WRONG_OPTIONS.keys())
def test_wrong_options_are_an_error_and_change_nothing(wrong: dict[str, object]) -> None:
    stream = BizHawkStream()
    receive_all(command(type="options", seed=7), stream)
    (error,) = receive_all(command(type="options", **({"resize_mode": "crop"} | wrong)), stream)
    assert type(error) is RequestError
    (event,) = receive_all(frame(PNG), stream)
    assert event == Request("predict", ImageFile(PNG, "pad", may_be_raw=False), 7)


def test_an_unknown_options_error_lists_the_known() -> None:
    (error,) = receive_all(command(type="options", resize="crop"))
    assert "resize_mode, seed, game, timing, model" in str(error)


# Errors that leave the stream in step.

IN_STEP = {
    "empty frame": frame(b""),
    "torn JSON": frame(b"{"),
    "not UTF-8": frame(b'{"type": "\xff"}'),
    "no type": frame(b"{}"),
    "unknown type": command(type="predicted"),
    "type is a list": command(type=["reset"]),
    "a predict without a picture": command(type="predict", len=5),
    "too deep": frame(b'{"type": ' + b"[" * 50 + b"]" * 50 + b"}"),
    "too long a command": frame(b'{"type": "reset"'.ljust(70_000) + b"}"),
    "number of 5,000 digits": frame(b'{"type": "info", "seed": ' + b"9" * 5000 + b"}"),
    "wrong option of a command": command(type="info", seed=-1),
}


@pytest.mark.parametrize("data", IN_STEP.values(), ids=IN_STEP.keys())
def test_a_wrong_payload_costs_its_own_reply_only(data: bytes) -> None:
    error, after = receive_all(data + command(type="info"))
    assert type(error) is RequestError
    assert len(str(error)) < 300
    assert after == Request("info")


# Errors after which the stream cannot be trusted.

FRAMING = {
    "no digit": b"12x4 abcd",
    "a blank": b" 4 abcd",
    "a sign": b"-4 abcd",
    "a plus": b"+4 abcd",
    "another blank": b"4\tabcd",
    "a line": b"4\nabcd",
    "digits of another script": "\u0664 abcd".encode(),
    "ten digits": b"1000000000 ",
    "ten zeros": b"0000000004 abcd",
    "digits without end": b"9" * 100_000,
    "beyond the limit": b"33554433 ",
    "JSON format": b'{"type": "reset"}\n',
}


@pytest.mark.parametrize("data", FRAMING.values(), ids=FRAMING.keys())
def test_a_wrong_length_is_the_last_event(data: bytes) -> None:
    stream = BizHawkStream()
    first, error = stream.receive(command(type="info") + data + command(type="reset"))
    assert first == Request("info")
    assert isinstance(error, FramingError)
    assert len(str(error)) < 300
    assert stream.receive(command(type="reset")) == []
    assert not stream.inside_request
    assert stream.receive_eof() is None


def test_the_limits_are_keywords() -> None:
    stream = BizHawkStream(max_header_bytes=20, max_header_depth=1, max_image_bytes=30)
    assert receive_all(frame(b'{"type": "reset"}'), stream) == [Request("reset")]
    (error,) = receive_all(frame(b'{"type": "reset"}'.ljust(21)), stream)
    assert "at most 20" in str(error)
    (error,) = receive_all(frame(b'{"type": []}'), stream)
    assert "1 deep" in str(error)
    assert len(receive_all(frame(bytes(30)), stream)) == 1
    (error,) = receive_all(b"31 ", stream)
    assert isinstance(error, FramingError)


# The parts of a request, and its end.


def test_what_has_begun_is_told() -> None:
    stream = BizHawkStream()
    assert (stream.inside_header, stream.inside_request, stream.body_buffer()) == (False, False, None)
    stream.receive(b"1")
    assert (stream.inside_header, stream.inside_request, stream.body_buffer()) == (True, True, None)
    stream.receive(b"2 x")
    assert (stream.inside_header, stream.inside_request) == (False, True)
    buffer = stream.body_buffer()
    assert buffer is not None
    assert len(buffer) == 11
    buffer[:] = b"y" * 11
    (event,) = stream.body_received(11)
    assert event == Request("predict", ImageFile(b"x" + b"y" * 11, may_be_raw=False))
    assert (stream.inside_header, stream.inside_request, stream.body_buffer()) == (False, False, None)


def test_only_pictures_are_images() -> None:
    begun = {b"12 ": False, b"12 {": False, b"12 x": True, b"70000 ": True, b"70000 {": True}
    for data, inside_image in begun.items():
        stream = BizHawkStream()
        stream.receive(data)
        assert stream.inside_image == inside_image


@pytest.mark.parametrize("part", [b"1", b"12 ", b"12 x"])
def test_a_stream_that_ends_inside_a_request_is_an_error(part: bytes) -> None:
    stream = BizHawkStream()
    assert stream.receive(part) == []
    assert isinstance(stream.receive_eof(), FramingError)
    assert not stream.inside_request
    assert stream.receive_eof() is None
    assert stream.receive(command(type="info")) == []


PARTS = st.sampled_from(
    [
        frame(PNG),
        frame(b""),
        frame(b"{"),
        command(type="reset"),
        command(type="options", resize_mode="crop"),
        command(type="options", seed=-1),
        command(type="hello", token="x"),
        b"000000004 abcd",
        b"400 ",
        b"x" * 12,
    ]
) | st.binary(max_size=40)


@settings(max_examples=300)
@given(st.lists(PARTS, max_size=6).map(b"".join), CUTS)
def test_any_cut_of_the_stream_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    assert_cuts_do_not_matter(lambda: BizHawkStream(max_header_bytes=64, max_image_bytes=300), data, cuts)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=40) | st.binary(max_size=40).map(frame), max_size=5))
def test_arbitrary_bytes_give_events_only(parts: list[bytes]) -> None:
    stream = BizHawkStream()
    for part in parts:
        for event in stream.receive(part):
            assert isinstance(event, Event)
    end = stream.receive_eof()
    assert end is None or isinstance(end, FramingError)


NAMES = st.sampled_from(["type", "token", "seed", "game", "timing", "model", "resize_mode"]) | st.text()
VALUES = (
    st.sampled_from(["predict", "reset", "info", "options", "hello", "crop"])
    | st.integers()
    | st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
)


@settings(max_examples=300)
@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_arbitrary_commands_give_one_event(fields: dict[str, object]) -> None:
    (event,) = receive_all(command(**fields))
    assert isinstance(event, Event)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(0, 2**64),
            "game": st.none() | st.text(max_size=20) | st.integers(),
            "timing": st.booleans(),
            "model": st.none() | st.text(max_size=20),
            "resize_mode": st.sampled_from(["pad", "crop", "stretch"]),
        },
    )
)
def test_the_same_options_mean_the_same_in_both_formats(options: dict[str, object]) -> None:
    stream = BizHawkStream()
    assert receive_all(command(type="options", **options), stream) == [OK]
    (found,) = receive_all(frame(PNG), stream)
    header = json.dumps({"type": "predict", "len": len(PNG), **options}).encode()
    (expected,) = JsonStream().receive(header + b"\n" + PNG)
    assert isinstance(found, Request)
    assert isinstance(expected, Request)
    assert isinstance(found.image, ImageFile)
    assert isinstance(expected.image, ImageFile)
    for name in ("seed", "game", "timing", "model"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.image.resize_mode == expected.image.resize_mode


# Replies.

CHUNK = ActionChunk(np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32), np.ones((2, 21), np.float32))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(),
        Reply(error="no"),
        Reply(chunk=CHUNK),
        Reply(chunk=CHUNK, timing=Timing(1, 2, 3)),
        Reply(info={"selected_game": "Pok\u00e9mon \U0001f600"}),
    ],
)
def test_a_reply_is_the_json_formats_line_framed_without_its_newline(reply: Reply) -> None:
    encoded = BizHawkStream().encode(reply)
    length, _, payload = encoded.partition(b" ")
    assert int(length) == len(payload)
    assert payload + b"\n" == reply_line(reply)


# Which format.


@pytest.mark.parametrize("first", range(256))
def test_a_digit_is_bizhawk_and_anything_else_is_json(first: int) -> None:
    expected = BizHawkStream if chr(first) in "0123456789" else JsonStream
    stream = stream_for(first, max_header_bytes=100, max_header_depth=3, max_image_bytes=200)
    assert type(stream) is expected
    limits = (stream.max_header_bytes, stream.max_header_depth, stream.max_image_bytes)
    assert limits == (100, 3, 200)
