"""Port 5556's JSON format: any cut of the stream gives the same events, and replies fit the Lua agent."""

import io
import json
import time
import tracemalloc

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.tensors import FRAME_BYTES
from gateway.errors import FramingError, RequestError
from gateway.protocol.messages import UNSET, Event, Hello, ImageFile, RawFrame, Request
from gateway.protocol.tcp.json_stream import JsonStream
from tests.gateway.protocol.tcp.streams import CUTS, assert_cuts_do_not_matter, receive_into_buffers

RAW = np.random.default_rng(1).integers(0, 256, FRAME_BYTES, dtype=np.uint8).tobytes()


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def bmp_file(width: int = 16, height: int = 9) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (width, height), (1, 2, 3)).save(buffer, "BMP")
    return buffer.getvalue()


def receive_all(data: bytes, stream: JsonStream | None = None) -> list[Event]:
    return (stream or JsonStream()).receive(data)


# Requests.


def test_the_same_header_line_again_is_the_same_request() -> None:
    request = line(type="predict", seed=7, game="Zelda") + RAW
    first, second = receive_all(request + request)
    assert first == second == Request("predict", RawFrame(RAW), 7, "Zelda")


def test_a_predict_without_len_is_a_raw_frame() -> None:
    assert receive_all(line(type="predict") + RAW) == [Request("predict", RawFrame(RAW))]


def test_a_raw_frame_that_begins_with_bm_is_a_raw_frame() -> None:
    raw = b"BM" + RAW[2:]
    assert receive_all(line(type="predict") + raw) == [Request("predict", RawFrame(raw))]
    black = b"BM".ljust(FRAME_BYTES, b"\0")
    assert receive_all(line(type="predict") + black) == [Request("predict", RawFrame(black))]


def test_a_predict_without_len_can_be_a_bmp_file() -> None:
    data = bmp_file()
    expected = Request("predict", ImageFile(data, "crop", may_be_raw=False))
    assert receive_all(line(type="predict", resize_mode="crop") + data) == [expected]


def test_a_predict_with_len_is_an_image_file() -> None:
    expected = Request("predict", ImageFile(b"12345", "pad", may_be_raw=True))
    assert receive_all(line(type="predict", len=5) + b"12345") == [expected]


@pytest.mark.parametrize("mode", ["pad", "crop", "stretch"])
def test_a_resize_mode_is_kept(mode: str) -> None:
    (event,) = receive_all(line(type="predict", len=1, resize_mode=mode) + b"x")
    assert event == Request("predict", ImageFile(b"x", mode))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["fill", "PAD", "", None, 5, ["crop"], {"a": 1}])
def test_an_unknown_resize_mode_falls_back_to_pad(mode: object) -> None:
    (event,) = receive_all(line(type="predict", len=1, resize_mode=mode) + b"x")
    assert event == Request("predict", ImageFile(b"x", "pad"))


@pytest.mark.parametrize("type_", ["reset", "info"])
def test_reset_and_info_have_no_bytes(type_: str) -> None:
    assert receive_all(line(type=type_) + line(type=type_)) == [Request(type_)] * 2  # type: ignore[arg-type]


def test_options_are_read() -> None:
    (event,) = receive_all(
        line(type="predict", len=1, seed=7, game="Zelda", timing=True, model="fast") + b"x"
    )
    assert event == Request("predict", ImageFile(b"x"), 7, "Zelda", True, "fast")
    (event,) = receive_all(line(type="info", game=None))
    assert event == Request("info", game=None)
    (event,) = receive_all(line(type="info"))
    assert isinstance(event, Request)
    assert event.game is UNSET


def test_lines_may_end_with_crlf_and_have_blanks() -> None:
    assert receive_all(b' { "type" : "reset" } \r\n') == [Request("reset")]


def test_many_requests_come_in_their_order() -> None:
    data = (
        line(type="info")
        + line(type="predict", len=2)
        + b"{\n"
        + line(type="predict")
        + RAW
        + line(type="reset")
    )
    assert [event.type for event in receive_all(data) if isinstance(event, Request)] == [
        "info",
        "predict",
        "predict",
        "reset",
    ]


def test_a_hello_is_an_event_that_does_not_show_its_token() -> None:
    (event,) = receive_all(line(type="hello", token="s3cret"))
    assert event == Hello("s3cret")
    assert "s3cret" not in repr(event)


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"\n\n", b" \t\r\n", b"\n" * 10_000], ids=ascii)
def test_blank_lines_stand_between_requests(blank: bytes) -> None:
    data = blank.join(
        [b"", line(type="predict", len=3) + b"abc", line(type="reset"), line(type="predict") + RAW, b""]
    )
    stream = JsonStream()
    events = [Request("predict", ImageFile(b"abc")), Request("reset"), Request("predict", RawFrame(RAW))]
    assert stream.receive(data) == events
    assert not stream.inside_request
    assert stream.receive_eof() is None


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"], ids=ascii)
def test_line_ends_stand_before_a_file_and_belong_to_a_raw_frame(ends: bytes) -> None:
    file = b"\x89PNG\r\n\x1a\n"
    assert receive_all(line(type="predict", len=8) + ends + file) == [Request("predict", ImageFile(file))]
    bmp = Request("predict", ImageFile(bmp_file(), may_be_raw=False))
    assert receive_all(line(type="predict") + ends + bmp_file()) == [bmp]
    raw = ends + RAW[len(ends) :]
    assert receive_all(line(type="predict") + raw) == [Request("predict", RawFrame(raw))]
    assert receive_all(line(type="predict", len=len(raw)) + raw) == [Request("predict", ImageFile(raw))]
    dark = b"\n" * FRAME_BYTES
    assert receive_all(line(type="predict") + dark) == [Request("predict", RawFrame(dark))]


@pytest.mark.parametrize("file", [b"\nab", b"\r\na", b"\n\n\n", b"\n", b"\r" * 10], ids=ascii)
def test_line_ends_before_what_is_not_a_picture_are_its_first_bytes(file: bytes) -> None:
    """Else a later byte would be taken for one of them, and the stream would be out of step."""
    data = line(type="predict", len=len(file)) + file
    assert receive_all(data) == [Request("predict", ImageFile(file))]
    assert receive_all(data + line(type="reset")) == [Request("predict", ImageFile(file)), Request("reset")]


def test_a_byte_order_mark_is_passed_over() -> None:
    mark = b"\xef\xbb\xbf"
    first, second = receive_all(mark + line(type="predict", len=3) + b"abc" + mark + line(type="reset"))
    assert (first, second) == (Request("predict", ImageFile(b"abc")), Request("reset"))


@pytest.mark.parametrize("length", [b"3.0", b"3e0", b"0.3e1"])
def test_a_length_may_be_written_with_a_point(length: bytes) -> None:
    data = b'{"type": "predict", "len": %b}\n' % length
    assert receive_all(data + b"abc") == [Request("predict", ImageFile(b"abc"))]


def test_a_picture_in_the_json_is_told_where_it_belongs() -> None:
    for image in ("iVBORw0KGgo=", "iVBORw0KGgo=" * 10_000):
        (error,) = receive_all(line(type="predict", image=image))
        assert "the JSON cannot hold the picture: send its bytes after the line" in str(error)
    with_bytes = line(type="predict", image="that comes below", len=3) + b"abc"
    assert receive_all(with_bytes) == [Request("predict", ImageFile(b"abc"))]


@pytest.mark.parametrize("data", [b'{"type": "info"}', b'\xef\xbb\xbf{"type": "info"} '])
def test_a_line_without_its_newline_is_told_so(data: bytes) -> None:
    stream = JsonStream()
    assert stream.receive(data) == []
    assert "within 5 s: it has no newline at its end" in str(stream.late(5))
    assert "it has no newline at its end" in str(stream.receive_eof())


@pytest.mark.parametrize(
    "picture",
    [b"\x89PNG\r\n\x1a\n" + bytes(50), b"\xff\xd8\xff\xe0" + bytes(70_000), RAW],
    ids=["PNG", "JPEG", "raw"],
)
def test_a_picture_right_behind_its_line_is_told_so(picture: bytes) -> None:
    stream = JsonStream()
    (error,) = stream.receive(b'{"type": "predict", "len": 760}' + picture)
    assert isinstance(error, FramingError)
    assert "it has no newline at its end: send one after each line of JSON" in str(error)
    (error,) = receive_all(b'{"type": "predict"}\t{"type": "info"}\n')
    assert "it has no newline at its end" in str(error)


def test_json_with_single_quotes_is_told_so() -> None:
    (error,) = receive_all(b"{'type': 'info'}\n")
    assert "at character 1: \"'type': 'info'}\"; texts need double quotes" in str(error)


# Errors that leave the stream in step.


@pytest.mark.parametrize("token", [{}, {"token": None}, {"token": 5}, {"token": ["s3cret"]}])
def test_a_hello_without_a_token_is_an_error(token: dict[str, object]) -> None:
    error, after = receive_all(line(type="hello", **token) + line(type="info"))
    assert type(error) is RequestError
    assert "s3cret" not in str(error)
    assert after == Request("info")


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 1.5}, {"game": []}, {"timing": "yes"}])
def test_wrong_options_cost_their_request_only(wrong: dict[str, object]) -> None:
    for request in (
        line(type="reset", **wrong),
        line(type="predict", len=3, **wrong) + b"abc",
        line(type="predict", **wrong) + RAW,
        line(type="predict", **wrong) + bmp_file(),
    ):
        error, after = receive_all(request + line(type="info"))
        assert type(error) is RequestError
        assert after == Request("info")


# Errors after which the stream cannot be trusted.

FRAMING = {
    "no JSON": b"hello\n",
    "torn JSON": b'{"type": "reset"\n',
    "not UTF-8": b'{"type": "\xff"}\n',
    "UTF-16": '{"type": "reset"}\n'.encode("utf-16"),
    "a list": b'["reset"]\n',
    "a number": b"17\n",
    "nested without end": b"[" * 50_000 + b"\n",
    "nested objects": b'{"a":' * 10_000 + b"\n",
    "17 deep": b'{"type": "reset", "a": ' + b"[" * 16 + b"]" * 16 + b"}\n",
    "number of 5,000 digits": b'{"type": "info", "seed": ' + b"9" * 5000 + b"}\n",
    "no type": b"{}\n",
    "unknown type": line(type="predicted"),
    "unknown type with len": line(type="predicted", len=3) + b"abc",
    "type is a list": line(type=["predict"]),
    "len is 0": line(type="predict", len=0),
    "len is negative": line(type="predict", len=-1),
    "len is text": line(type="predict", len="5"),
    "len is not a whole number": line(type="predict", len=5.5),
    "len is not finite": b'{"type": "predict", "len": Infinity}\n',
    "len is true": line(type="predict", len=True),
    "len is null": line(type="predict", len=None),
    "len is too long": line(type="predict", len=32 * 2**20 + 1),
    "len is very long": line(type="predict", len=10**400),
    "line too long": b"{" + b" " * 65_537 + line(type="reset")[1:],
    "line without end": b"{" + b" " * 70_000,
    "a picture in the JSON": line(type="predict", image="iVBORw0KGgo="),
    "a large picture in the JSON": line(type="predict", image="iVBORw0KGgo=" * 10_000),
}


@pytest.mark.parametrize("data", FRAMING.values(), ids=FRAMING.keys())
def test_a_wrong_header_is_the_last_event(data: bytes) -> None:
    stream = JsonStream()
    first, error = stream.receive(line(type="info") + data + line(type="reset"))
    assert first == Request("info")
    assert isinstance(error, FramingError)
    assert len(str(error)) < 400
    assert stream.receive(line(type="reset")) == []
    assert not stream.inside_request
    assert stream.receive_eof() is None


def test_a_bmp_file_beyond_the_limit_is_refused_from_its_header() -> None:
    stream = JsonStream(max_image_bytes=400)
    (error,) = stream.receive(line(type="predict") + bmp_file()[:60])
    assert isinstance(error, FramingError)


def test_the_limits_are_keywords() -> None:
    stream = JsonStream(max_header_bytes=20, max_image_bytes=10)
    exact = b'{"type": "reset"   }\n'
    assert stream.receive(exact) == [Request("reset")]
    (error,) = stream.receive(exact.replace(b"}", b" }"))
    assert isinstance(error, FramingError)
    stream = JsonStream(max_image_bytes=10)
    assert len(stream.receive(line(type="predict", len=10) + bytes(10))) == 1
    (error,) = stream.receive(line(type="predict", len=11))
    assert isinstance(error, FramingError)


def test_nesting_is_counted_outside_of_texts_and_up_to_the_limit() -> None:
    deep = b'{"type": "reset", "a": ' + b"[" * 15 + b"]" * 15 + b"}\n"
    assert receive_all(deep) == [Request("reset")]
    assert receive_all(line(type="reset", a='\\"' + "[{" * 50)) == [Request("reset")]
    assert receive_all(line(type="reset", a=[[] for _ in range(50)])) == [Request("reset")]
    (error,) = JsonStream(max_header_depth=15).receive(deep)
    assert isinstance(error, FramingError)
    assert "15 deep" in str(error)


def test_names_may_repeat_and_numbers_need_not_be_finite() -> None:
    assert receive_all(b'{"type": "info", "a": NaN, "type": "reset"}\n') == [Request("reset")]


# The end of the stream.


def test_a_stream_may_end_between_requests() -> None:
    stream = JsonStream()
    stream.receive(line(type="reset"))
    assert not stream.inside_request
    assert stream.receive_eof() is None


@pytest.mark.parametrize(
    "part", [b"{", line(type="predict"), line(type="predict") + b"BM", line(type="predict", len=5) + b"1234"]
)
def test_a_stream_that_ends_inside_a_request_is_an_error(part: bytes) -> None:
    stream = JsonStream()
    assert stream.receive(part) == []
    assert stream.inside_request
    assert isinstance(stream.receive_eof(), FramingError)
    assert not stream.inside_request
    assert stream.receive_eof() is None


# Cuts of the stream.

PARTS = st.sampled_from(
    [
        line(type="reset"),
        line(type="info", seed=-1),
        line(type="predict", len=12, resize_mode="crop") + b"\n{\"type\":\n\n\n",
        line(type="predict", timing=1) + bmp_file(3, 2),
        line(type="predict") + bmp_file(),
        line(type="predict") + b"BM" + bytes(70),
        line(type="predict", len=12.0) + b"\r\n\n",
        line(type="predict") + b"\r\n\n" + bmp_file(3, 2),
        b"\xef\xbb\xbf",
        b"\xff" + bytes(7) + b"\x01\x7f",
        b'{"type": "reset"}\r\n',
        b"\n",
        b"{}\n",
        b"x" * 70,
    ]
) | st.binary(max_size=40)  # fmt: skip


def small_stream() -> JsonStream:
    return JsonStream(max_header_bytes=64, max_image_bytes=1000)


@settings(max_examples=300)
@given(st.lists(PARTS, max_size=6).map(b"".join), CUTS)
def test_any_cut_of_the_stream_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    assert_cuts_do_not_matter(small_stream, data, cuts)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=100), max_size=5))
def test_arbitrary_bytes_give_events_only(parts: list[bytes]) -> None:
    stream = JsonStream()
    for part in parts:
        for event in stream.receive(part):
            assert isinstance(event, Event)
    end = stream.receive_eof()
    assert end is None or isinstance(end, FramingError)


FIELDS = st.sampled_from(["type", "len", "seed", "game", "timing", "model", "resize_mode"])
FIELD_VALUES = (
    st.sampled_from(["predict", "reset", "info", "pad"])
    | st.integers(-2, 50)
    | st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
)


# On a busy machine the first texts take long to generate.
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(FIELDS, FIELD_VALUES))
def test_arbitrary_headers_give_events_only(fields: dict[str, object]) -> None:
    for event in receive_all(line(**fields) + RAW):
        assert isinstance(event, Event)


def test_small_pieces_of_a_large_image_cost_linear_time() -> None:
    body = bytes(32 * 2**20)
    stream = JsonStream()
    stream.receive(line(type="predict", len=len(body)))
    start = time.process_time()
    events = []
    for where in range(0, len(body), 1460):
        events += stream.receive(body[where : where + 1460])
    assert len(events) == 1
    assert time.process_time() - start < 2


def test_an_announced_length_takes_no_memory_before_its_bytes_come() -> None:
    tracemalloc.start()
    streams = [JsonStream() for _ in range(100)]
    for stream in streams:
        stream.receive(line(type="predict", len=32 * 2**20) + bytes(1000))
        assert stream.body_buffer() is not None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 0.3 * 2**20


def test_a_large_image_is_received_in_place() -> None:
    body = np.random.default_rng(3).bytes(3 * 2**20)
    stream = JsonStream()
    assert stream.body_buffer() is None
    assert stream.receive(line(type="predict", len=len(body)) + body[:777]) == []
    assert stream.inside_request
    assert not stream.inside_header
    tracemalloc.start()
    events = receive_into_buffers(stream, memoryview(body)[777:])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert events == [Request("predict", ImageFile(body))]
    assert stream.body_buffer() is None
    assert peak < 2.5 * len(body)
    with pytest.raises(ValueError, match="outside a body"):
        stream.body_received(1)


def test_what_a_request_holds_is_no_part_of_the_chunk_it_came_with() -> None:
    scratch = bytearray(line(type="predict", len=4) + b"abcd")
    (event,) = JsonStream().receive(memoryview(scratch))
    scratch[:] = bytes(len(scratch))
    scratch.clear()  # which an exported view would prevent
    assert event == Request("predict", ImageFile(b"abcd"))
