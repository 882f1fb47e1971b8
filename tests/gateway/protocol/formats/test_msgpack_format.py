"""Port 5555's msgpack: requests of clients that follow the documentation, hostile ones, and replies."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.tensors import FRAME_BYTES
from gateway.errors import ImageError, RequestError
from gateway.protocol.formats import msgpack_format
from gateway.protocol.formats.known_messages import KnownMessages
from gateway.protocol.formats.msgpack_format import decode_request, encode_reply
from gateway.protocol.messages import UNSET, ActionChunk, ImageFile, Pixels, RawFrame, Reply, Request, Timing
from tests.stack import packed_array

GRADIENT = np.arange(12 * 20 * 3, dtype=np.uint8).reshape(12, 20, 3)


def predict(image: object, **fields: object) -> bytes:
    return bytes(msgpack.packb({"type": "predict", "image": image, **fields}))


# Requests.


def test_a_frame_of_the_models_size_is_taken_as_it_is() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)
    assert decode_request(predict(packed_array(frame))).image == RawFrame(frame.tobytes())


@pytest.mark.parametrize("shape", [(12, 20, 3), (20, 12, 3), (1, 240, 3), (240, 1, 3)])
def test_an_image_of_another_size_keeps_its_pixels(shape: tuple[int, ...]) -> None:
    array = GRADIENT.reshape(shape)
    image = decode_request(predict(packed_array(array))).image
    assert isinstance(image, Pixels)
    np.testing.assert_array_equal(image.rgb, array)


def test_grey_is_repeated_and_alpha_is_dropped() -> None:
    grey = decode_request(predict(packed_array(GRADIENT[:, :, 0].copy()))).image
    alpha = decode_request(predict(packed_array(np.dstack([GRADIENT, GRADIENT[:, :, :1]])))).image
    assert isinstance(grey, Pixels)
    assert isinstance(alpha, Pixels)
    np.testing.assert_array_equal(grey.rgb, np.repeat(GRADIENT[:, :, :1], 3, axis=2))
    np.testing.assert_array_equal(alpha.rgb, GRADIENT)


@pytest.mark.parametrize("mode", ["pad", "crop", "stretch"])
def test_a_file_comes_with_its_resize_mode(mode: str) -> None:
    image = decode_request(predict({"file": b"\x89PNG", "resize_mode": mode})).image
    assert image == ImageFile(b"\x89PNG", mode, may_be_raw=False)  # type: ignore[arg-type]


def test_a_file_is_padded_unless_it_says_otherwise() -> None:
    assert decode_request(predict({"file": b"x"})).image == ImageFile(b"x", "pad", may_be_raw=False)


@pytest.mark.parametrize("type_", ["reset", "info"])
def test_options_come_with_any_type(type_: str) -> None:
    options = {"seed": 2**63, "game": None, "timing": True, "model": "fast", "more": [1]}
    request = decode_request(msgpack.packb({"type": type_, **options}))
    assert request == Request(type_, None, 2**63, None, True, "fast")  # type: ignore[arg-type]


def test_absent_options_are_unset() -> None:
    request = decode_request(predict(packed_array(GRADIENT)))
    assert (request.seed, request.game, request.timing, request.model) == (None, UNSET, False, None)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "reset",
        ["reset"],
        {},
        {"type": None},
        {"type": "Predict"},
        {"type": ["info"]},
        {b"type": "info"},
    ],
    ids=ascii,
)
def test_what_is_no_request_is_refused(value: object) -> None:
    with pytest.raises(RequestError, match="type"):
        decode_request(msgpack.packb(value))


@pytest.mark.parametrize(
    "options",
    [{"seed": -1}, {"seed": 1.0}, {"seed": True}, {"game": [1]}, {"timing": 1}, {"model": 5}],
    ids=str,
)
def test_a_wrong_option_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=next(iter(options))):
        decode_request(msgpack.packb({"type": "info", **options}))


GOOD = packed_array(GRADIENT)


@pytest.mark.parametrize(
    "image",
    [
        None,
        b"\x89PNG",
        [1, 2, 3],
        {},
        GOOD | {"data": "text"},
        GOOD | {"data": GOOD["data"][:-1]},  # type: ignore[index]
        GOOD | {"dtype": "float32"},
        GOOD | {"dtype": None},
        {"shape": GOOD["shape"], "data": GOOD["data"]},
        GOOD | {"shape": None},
        GOOD | {"shape": [720]},
        GOOD | {"shape": [12, 20, 3, 1]},
        GOOD | {"shape": [12.0, 20, 3]},
        GOOD | {"shape": [True, 240, 3]},
        GOOD | {"shape": [-12, -20, 3]},
        GOOD | {"shape": [2**63, 2**63, 2**63]},
        GOOD | {"shape": [12, 30, 2]},
        GOOD | {"shape": [144, 1, 5]},
        GOOD | {"shape": [0, 20, 3], "data": b""},
        {"file": "text"},
        {"file": None},
        {"file": b"x", "resize_mode": "squash"},
        {"file": b"x", "resize_mode": ["pad"]},
    ],
    ids=lambda image: str(image)[:40],
)
def test_images_of_other_kinds_are_refused_with_advice(image: object) -> None:
    with pytest.raises(ImageError, match="send"):
        decode_request(predict(image))


def test_a_predict_without_an_image_is_refused() -> None:
    with pytest.raises(ImageError, match="needs an image"):
        decode_request(msgpack.packb({"type": "predict"}))


# Hostile ones.

WHOLE = predict(GOOD, seed=1, game="game 1", timing=True)


@pytest.mark.parametrize("length", [1, 2, 5, 10, 50, len(WHOLE) - 1])
def test_a_torn_message_is_refused(length: int) -> None:
    with pytest.raises(RequestError, match="not msgpack"):
        decode_request(WHOLE[:length])


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(WHOLE + b"\x00", id="more bytes"),
        pytest.param(b"\xc1", id="an unused code"),
        pytest.param(b"\xde\xff\xff", id="a map without its items"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="a vast map"),
        pytest.param(b"\x81\xa1a\xdd\xff\xff\xff\xff", id="a vast array"),
        pytest.param(b"\x81\xa1a\xc6\xff\xff\xff\xff", id="vast bytes"),
        pytest.param(b"\x81\xa1a\xdb\xff\xff\xff\xff", id="a vast text"),
        pytest.param(b"\x81\xa1a\xc9\xff\xff\xff\xff\x01", id="a vast extension"),
        pytest.param(msgpack.packb({"a": msgpack.Timestamp(1, 0)}), id="a time"),
        pytest.param(msgpack.packb({"a": msgpack.ExtType(5, b"x")}), id="an extension"),
        pytest.param(b"\x81\xa1a\xc7\x00\x05", id="an empty extension"),
        pytest.param(b"\x81\x91\x01\x01", id="a list as key"),
        pytest.param(b"\x81\x01\x01", id="a number as key"),
        pytest.param(b"\x81\xa1a\xa2\xff\xfe", id="no UTF-8"),
        pytest.param(msgpack.packb({"a": "x" * 5000}), id="a long text"),
        pytest.param(msgpack.packb({"a": [0] * 100}), id="a long list"),
        pytest.param(msgpack.packb({str(i): 0 for i in range(100)}), id="a long map"),
        pytest.param(b"\x91" * 100_000 + b"\x00", id="deep"),
        pytest.param(b"\x81\xa1a" * 100_000 + b"\x00", id="deep maps"),
        pytest.param(msgpack.packb({str(i): [[]] * 30 for i in range(30)}), id="many lists"),
    ],
)
def test_a_message_beyond_the_format_or_its_limits_is_refused(message: bytes) -> None:
    with pytest.raises(RequestError, match="not msgpack"):
        decode_request(message)


def test_many_small_containers_take_no_more_memory_than_their_message() -> None:
    message = b"\xdc\x00\x40" + b"\xdc\x00\x40" * 64 + b"\x90" * 2**20
    tracemalloc.start()
    try:
        with pytest.raises(RequestError):
            decode_request(message)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(message)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_an_error(data: bytes) -> None:
    try:
        assert isinstance(decode_request(data), Request)
    except RequestError as error:
        assert str(error)  # noqa: PT017 - an error is as good as a request


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_flipped_byte_makes_a_request_or_an_error(position: int, value: int) -> None:
    data = bytearray(WHOLE)
    data[position] = value
    try:
        assert isinstance(decode_request(bytes(data)), Request)
    except RequestError as error:
        assert str(error)  # noqa: PT017


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=9), values, max_size=4),
    max_leaves=15,
)


@settings(max_examples=200)
@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["predict", "reset", "info"]) | PLAIN},
        optional={
            "image": PLAIN
            | st.fixed_dictionaries(
                {
                    "shape": PLAIN | st.lists(st.integers(0, 9), max_size=4),
                    "dtype": st.just("uint8"),
                    "data": PLAIN,
                }
            )
            | st.fixed_dictionaries({"file": PLAIN}, optional={"resize_mode": PLAIN}),
            "seed": PLAIN,
            "game": PLAIN,
            "timing": PLAIN,
            "model": PLAIN,
        },
    )
)
def test_any_values_are_a_request_or_an_error(fields: dict[str, Any]) -> None:
    try:
        request = decode_request(msgpack.packb(fields))
    except RequestError as error:
        assert str(error)  # noqa: PT017
    else:
        assert request.type == fields["type"]
        assert (request.image is not None) == (request.type == "predict")


@given(
    st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 4]), st.none() | st.integers(0, 2**64 - 1)
)
def test_a_request_keeps_its_pixels_and_its_seed(
    height: int, width: int, depth: int, seed: int | None
) -> None:
    array = np.random.default_rng(height * width).integers(0, 256, (height, width, depth), np.uint8)
    fields = {} if seed is None else {"seed": seed}
    request = decode_request(predict(packed_array(array), **fields))
    assert request.seed == seed
    assert isinstance(request.image, Pixels)
    np.testing.assert_array_equal(
        request.image.rgb, np.repeat(array, 3, axis=2) if depth == 1 else array[:, :, :3]
    )


# Replies.


def test_actions_come_as_raw_arrays() -> None:
    random = np.random.default_rng(1)
    left, right = random.random((2, 18, 2), np.float32)
    buttons = np.asfortranarray(random.integers(0, 2, (18, 21)).astype(np.float32))
    reply = msgpack.unpackb(encode_reply(Reply(chunk=ActionChunk(left, right, buttons))))
    assert (reply["status"], reply["repeat"]) == ("ok", 1)
    for name, expected in (("j_left", left), ("j_right", right), ("buttons", buttons)):
        array = reply["pred"][name]
        assert array["dtype"] == "float32"
        got = np.frombuffer(array["data"], "<f4").reshape(array["shape"])
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(), {"status": "ok"}),
        (Reply(error="nö"), {"status": "error", "message": "nö"}),
        (Reply(error="nö", cause="busy"), {"status": "error", "message": "nö", "cause": "busy"}),
        (
            Reply(info={"games": ["a", None], "steps": 16}),
            {"status": "ok", "info": {"games": ["a", None], "steps": 16}},
        ),
        (
            Reply(timing=Timing(1.00049, 2, 3)),
            {"status": "ok", "timing": {"decode_ms": 1.0, "infer_ms": 2, "total_ms": 3}},
        ),
    ],
)
def test_other_replies_are_plain_maps(reply: Reply, expected: dict[str, object]) -> None:
    assert msgpack.unpackb(encode_reply(reply)) == expected


# Messages that differ in nothing but their frame from an earlier one.


def outcome(message: bytes, known: KnownMessages) -> Request | str:
    """Return a message's request, or its error, after those that `known` has learnt."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(msgpack_format, "_known", known)
        try:
            return decode_request(message)
        except RequestError as error:
            return str(error)


def framed(frame: bytes, **options: object) -> bytes:
    image = {"shape": [256, 256, 3], "dtype": "uint8", "data": frame}
    return bytes(msgpack.packb({"type": "predict", "image": image, **options}))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_next_message_of_a_client_is_its_own_request(kind: Callable[[bytes], bytes]) -> None:
    known = KnownMessages(RawFrame)
    for number in range(3):
        frame = np.random.default_rng(number).bytes(FRAME_BYTES)
        message = kind(framed(frame, seed=7))
        assert (known.request(message) is not None) is (number > 0)
        assert outcome(message, known) == Request("predict", RawFrame(frame), seed=7)


def test_a_frame_that_stands_in_a_message_twice_is_the_image() -> None:
    known = KnownMessages(RawFrame)
    one, other = bytes(FRAME_BYTES), b"1" * FRAME_BYTES
    outcome(framed(one, before=one), known)
    assert outcome(framed(other, before=one), known) == Request("predict", RawFrame(other))


def test_a_frame_that_looks_like_its_own_header_is_the_image() -> None:
    known = KnownMessages(RawFrame)
    header = b"\xc6" + FRAME_BYTES.to_bytes(4, "big")
    for number in range(3):
        frame = (header * FRAME_BYTES)[number : number + FRAME_BYTES]
        assert outcome(framed(frame), known) == Request("predict", RawFrame(frame))


@settings(max_examples=200)
@given(st.data())
def test_a_message_beside_known_ones_is_what_reading_makes_of_it(data: st.DataObject) -> None:
    known = KnownMessages(RawFrame)
    first = framed(bytes(FRAME_BYTES), seed=7, game="Celeste")
    outcome(first, known)
    changed = bytearray(first)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(-40, 80) | st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    message = bytes(changed) + data.draw(st.binary(max_size=2))
    assert outcome(message, known) == outcome(message, KnownMessages(RawFrame))
