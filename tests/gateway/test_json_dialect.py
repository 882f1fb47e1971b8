"""Port 5556's JSON dialect: any cut of the stream gives the same events, and replies fit the Lua agent."""

import io
import json
import re
import time
from itertools import pairwise

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import FramingError, RequestError
from gateway.protocol.json_dialect import MAX_HORIZON, JsonDialect, encode_reply
from gateway.protocol.messages import (
    FRAME_BYTES,
    UNSET,
    ActionChunk,
    ImageFile,
    RawFrame,
    Reply,
    Request,
    Timing,
)

RAW = np.random.default_rng(1).integers(0, 256, FRAME_BYTES, dtype=np.uint8).tobytes()
Event = Request | RequestError


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def bmp_file(width: int = 16, height: int = 9) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (width, height), (1, 2, 3)).save(buffer, "BMP")
    return buffer.getvalue()


def receive_all(data: bytes, dialect: JsonDialect | None = None) -> list[Event]:
    return (dialect or JsonDialect()).receive(data)


def shown(events: list[Event]) -> list[object]:
    """The events in a form that can be compared: errors by their class and text."""
    return [(type(event), str(event)) if isinstance(event, RequestError) else event for event in events]


# Requests.


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


# Errors that leave the stream in step.


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
    "empty line": b"\n",
    "blank line": b"  \r\n",
    "no JSON": b"hello\n",
    "torn JSON": b'{"type": "reset"\n',
    "not UTF-8": b'{"type": "\xff"}\n',
    "UTF-16": '{"type": "reset"}\n'.encode("utf-16"),
    "a list": b'["reset"]\n',
    "a number": b"17\n",
    "nested without end": b"[" * 50_000 + b"\n",
    "nested objects": b'{"a":' * 10_000 + b"\n",
    "number of 5,000 digits": b'{"type": "info", "seed": ' + b"9" * 5000 + b"}\n",
    "no type": b"{}\n",
    "unknown type": line(type="predicted"),
    "unknown type with len": line(type="predicted", len=3) + b"abc",
    "type is a list": line(type=["predict"]),
    "len is 0": line(type="predict", len=0),
    "len is negative": line(type="predict", len=-1),
    "len is text": line(type="predict", len="5"),
    "len is a float": line(type="predict", len=5.0),
    "len is true": line(type="predict", len=True),
    "len is null": line(type="predict", len=None),
    "len is too long": line(type="predict", len=32 * 2**20 + 1),
    "len is very long": line(type="predict", len=10**400),
    "line too long": b" " * 65_537 + line(type="reset"),
    "line without end": b" " * 70_000,
}


@pytest.mark.parametrize("data", FRAMING.values(), ids=FRAMING.keys())
def test_a_wrong_header_is_the_last_event(data: bytes) -> None:
    dialect = JsonDialect()
    first, error = dialect.receive(line(type="info") + data + line(type="reset"))
    assert first == Request("info")
    assert isinstance(error, FramingError)
    assert len(str(error)) < 400
    assert dialect.receive(line(type="reset")) == []
    assert not dialect.inside_request
    assert dialect.receive_eof() is None


def test_a_bmp_file_beyond_the_limit_is_refused_from_its_header() -> None:
    dialect = JsonDialect(max_image_bytes=400)
    (error,) = dialect.receive(line(type="predict") + bmp_file()[:60])
    assert isinstance(error, FramingError)


def test_the_limits_are_keywords() -> None:
    dialect = JsonDialect(max_header_bytes=20, max_image_bytes=10)
    exact = b'{"type": "reset"}'.ljust(20) + b"\n"
    assert dialect.receive(exact) == [Request("reset")]
    (error,) = dialect.receive(b" " + exact)
    assert isinstance(error, FramingError)
    dialect = JsonDialect(max_image_bytes=10)
    assert len(dialect.receive(line(type="predict", len=10) + bytes(10))) == 1
    (error,) = dialect.receive(line(type="predict", len=11))
    assert isinstance(error, FramingError)


# The end of the stream.


def test_a_stream_may_end_between_requests() -> None:
    dialect = JsonDialect()
    dialect.receive(line(type="reset"))
    assert not dialect.inside_request
    assert dialect.receive_eof() is None


@pytest.mark.parametrize(
    "part", [b"{", line(type="predict"), line(type="predict") + b"BM", line(type="predict", len=5) + b"1234"]
)
def test_a_stream_that_ends_inside_a_request_is_an_error(part: bytes) -> None:
    dialect = JsonDialect()
    assert dialect.receive(part) == []
    assert dialect.inside_request
    assert isinstance(dialect.receive_eof(), FramingError)
    assert not dialect.inside_request
    assert dialect.receive_eof() is None


# Cuts of the stream.

PARTS = st.sampled_from(
    [
        line(type="reset"),
        line(type="info", seed=-1),
        line(type="predict", len=12, resize_mode="crop") + b"\n{\"type\":\n\n\n",
        line(type="predict", timing=1) + bmp_file(3, 2),
        line(type="predict") + bmp_file(),
        line(type="predict") + b"BM" + bytes(70),
        b'{"type": "reset"}\r\n',
        b"\n",
        b"{}\n",
        b"x" * 70,
    ]
) | st.binary(max_size=40)  # fmt: skip


def small_dialect() -> JsonDialect:
    return JsonDialect(max_header_bytes=64, max_image_bytes=1000)


@settings(max_examples=300)
@given(st.lists(PARTS, max_size=6).map(b"".join), st.lists(st.integers(0, 400), max_size=8))
def test_any_cut_of_the_stream_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    whole = small_dialect()
    expected = shown(whole.receive(data))
    bytewise = small_dialect()
    found = [event for byte in data for event in bytewise.receive(bytes([byte]))]
    assert shown(found) == expected
    cut = small_dialect()
    edges = sorted({0, len(data), *(min(where, len(data)) for where in cuts)})
    found = [event for start, end in pairwise(edges) for event in cut.receive(data[start:end])]
    assert shown(found) == expected
    assert whole.inside_request == bytewise.inside_request == cut.inside_request
    ends = [dialect.receive_eof() for dialect in (whole, bytewise, cut)]
    assert len({str(end) for end in ends}) == 1


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=100), max_size=5))
def test_arbitrary_bytes_give_events_only(parts: list[bytes]) -> None:
    dialect = JsonDialect()
    for part in parts:
        for event in dialect.receive(part):
            assert isinstance(event, (Request, RequestError))
    end = dialect.receive_eof()
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
        assert isinstance(event, (Request, RequestError))


def test_small_pieces_of_a_large_image_cost_linear_time() -> None:
    body = bytes(32 * 2**20)
    dialect = JsonDialect()
    dialect.receive(line(type="predict", len=len(body)))
    start = time.process_time()
    events = []
    for where in range(0, len(body), 1460):
        events += dialect.receive(body[where : where + 1460])
    assert len(events) == 1
    assert time.process_time() - start < 2


# Replies.


def chunk(steps: int, value: float = -1.0) -> ActionChunk:
    sticks = np.full((steps, 2), value, np.float32)
    return ActionChunk(sticks, sticks, np.ones((steps, 21), np.float32))


def test_a_chunk_is_one_line_in_the_order_of_the_existing_server() -> None:
    j_left = np.array([[0.5, -0.25], [1, 0]], np.float32)
    j_right = np.array([[-1e-5, 1e-5], [-0.0006, 0.9999]], np.float32)
    buttons = np.zeros((2, 21), np.float32)
    buttons[1, 18] = 1
    assert encode_reply(Reply(chunk=ActionChunk(j_left, j_right, buttons))) == (
        b'{"status":"ok","pred":{"j_left":[[0.500,-0.250],[1.000,0.000]],'
        b'"j_right":[[0.000,0.000],[-0.001,1.000]],'
        b'"buttons":[[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],'
        b'[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,0,0]]},"repeat":1}\n'
    )


@pytest.mark.parametrize("steps", [1, 2, 18, 52])
def test_the_largest_reply_has_71_bytes_and_76_a_step(steps: int) -> None:
    assert len(encode_reply(Reply(chunk=chunk(steps)))) == 71 + 76 * steps


def test_the_released_models_reply_fits_one_ethernet_segment_and_any_fits_4095() -> None:
    assert len(encode_reply(Reply(chunk=chunk(18)))) <= 1448
    assert len(encode_reply(Reply(chunk=chunk(MAX_HORIZON)))) <= 4095
    assert 71 + 76 * (MAX_HORIZON + 1) > 4095


def test_a_longer_horizon_is_an_error_that_says_so() -> None:
    reply = json.loads(encode_reply(Reply(chunk=chunk(53))))
    assert reply["status"] == "error"
    assert "53" in reply["message"]
    assert "52" in reply["message"]


@given(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4))
def test_sticks_are_within_half_a_thousandth_and_match_the_agents_pattern(values: list[float]) -> None:
    sticks = np.array(values, np.float32).reshape(2, 1, 2)
    text = encode_reply(
        Reply(chunk=ActionChunk(sticks[0], sticks[1], np.zeros((1, 21), np.float32)))
    ).decode()
    assert "e-" not in text
    assert "-0.000" not in text
    numbers = [float(number) for number in re.findall(r"[-\d.]+", text[text.index('"j_left"') :])]
    assert np.abs(np.array(numbers[:4]) - values).max() <= 0.0005001
    assert numbers[4:] == [0] * 21 + [1]  # the buttons and repeat


@pytest.mark.parametrize("layout", ["strided", "float64"])
def test_arrays_of_any_layout_are_written_alike(layout: str) -> None:
    wide = np.random.default_rng(2).uniform(-1, 1, (18, 25)).astype(np.float32)
    wide[:, 4:] = wide[:, 4:] > 0
    plain = ActionChunk(wide[:, :2].copy(), wide[:, 2:4].copy(), wide[:, 4:].copy())
    if layout == "float64":
        wide = wide.astype(np.float64)  # type: ignore[assignment]
    other = ActionChunk(wide[:, :2], wide[:, 2:4], wide[:, 4:])
    assert encode_reply(Reply(chunk=other)) == encode_reply(Reply(chunk=plain))


def test_other_replies() -> None:
    assert encode_reply(Reply()) == b'{"status":"ok"}\n'
    assert encode_reply(Reply(info={"a": None, "b": 1.5})) == b'{"status":"ok","info":{"a":null,"b":1.5}}\n'
    assert encode_reply(Reply(error='a "b"\n')) == b'{"status":"error","message":"a \\"b\\"\\n"}\n'


def test_timing_follows_the_chunk() -> None:
    reply = encode_reply(Reply(chunk=chunk(1), timing=Timing(0.00001, 17.25, 18)))
    assert reply.endswith(b'"repeat":1,"timing":{"decode_ms":0.000,"infer_ms":17.250,"total_ms":18.000}}\n')


@given(
    st.text(alphabet=st.characters(exclude_categories=()))
    | st.sampled_from(["x" * 10_000, "€" * 3000, "\U0001f600" * 999])
)
def test_error_lines_are_short_valid_json(message: str) -> None:
    reply = encode_reply(Reply(error=message))
    assert len(reply) <= 1400
    assert reply.count(b"\n") == 1
    assert reply.endswith(b"\n")
    found = json.loads(reply)["message"]
    if len(message) < 100:
        assert found == message
    else:
        assert message.startswith(found.removesuffix("..."))
