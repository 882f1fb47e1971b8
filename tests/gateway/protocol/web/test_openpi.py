"""openpi's policy protocol: observations to requests, replies to what its clients read."""

from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.gamepad import ACTION_WIDTH
from gateway.errors import ImageError, RequestError
from gateway.images import as_frame
from gateway.protocol.messages import ActionChunk, ImageFile, RawFrame, Reply, Request, Timing
from gateway.protocol.web.messages import Incoming
from gateway.protocol.web.openpi import ACTION_NAMES, MAX_CONTAINERS, PolicyMessages

FRAME = np.random.default_rng(6).integers(0, 256, (256, 256, 3), np.uint8)


def packed(array: NDArray[Any], **changed: object) -> dict[bytes, object]:
    """An array as openpi's client packs it; fields may be changed."""
    fields = {"__ndarray__": True, "data": array.tobytes(), "dtype": array.dtype.str, "shape": array.shape}
    return {name.encode(): value for name, value in {**fields, **changed}.items()}


def receive(observation: object) -> Incoming:
    (one,) = PolicyMessages(2**20).receive(msgpack.packb(observation), is_text=False)
    return one


def request(observation: dict[str, object]) -> Request:
    event = receive(observation).event
    assert isinstance(event, Request), event
    return event


def frame(observation: dict[str, object]) -> bytes:
    image = request(observation).image
    assert image is not None
    return bytes(as_frame(image))


def refused(observation: object) -> str:
    event = receive(observation).event
    assert isinstance(event, RequestError)
    return str(event)


def unpacked(data: bytes) -> dict[str, Any]:
    """A message as openpi's client reads it."""

    def array(fields: dict[Any, Any]) -> object:
        if b"__ndarray__" in fields:
            return np.ndarray(fields[b"shape"], np.dtype(fields[b"dtype"]), fields[b"data"])
        return fields

    fields: dict[str, Any] = msgpack.unpackb(data, object_hook=array)
    return fields


@pytest.mark.parametrize(
    "observation",
    [
        {"image": packed(FRAME)},
        {"observation/image": packed(FRAME), "observation/wrist": packed(FRAME)},
        {"observation": {"image": packed(FRAME), "state": packed(np.zeros(8))}},
        {"observation.images.image": packed(FRAME), "other": packed(FRAME)},
        {"cam_high": packed(FRAME), "state": packed(np.zeros((3, 3, 3)))},
        {"images": {"cam_high": packed(FRAME.transpose(2, 0, 1).copy())}},
        {"image": packed(FRAME), "observation/image": packed(FRAME[:2])},
        {"image": packed(FRAME, dtype="uint8")},
    ],
)
def test_the_picture_is_found(observation: dict[str, object]) -> None:
    assert frame(observation) == FRAME.tobytes()


def test_other_sizes_and_kinds_of_pictures_are_taken() -> None:
    assert request({"image": packed(FRAME)}).image == RawFrame(FRAME.tobytes())
    assert len(frame({"image": packed(FRAME[:100, :120])})) == FRAME.size
    assert frame({"image": packed(FRAME[:, :, :1])}) == np.repeat(FRAME[:, :, :1], 3, 2).tobytes()
    assert frame({"image": packed(FRAME[:, :, 0])}) == np.repeat(FRAME[:, :, :1], 3, 2).tobytes()
    assert frame({"image": packed(FRAME[:3, :3])}) == frame({"x": packed(FRAME[:3, :3])})
    assert request({"image": b"\x89PNG"}).image == ImageFile(b"\x89PNG")


@pytest.mark.parametrize(
    ("observation", "why"),
    [
        ({}, "the observation has nothing in it"),
        ({"state": [1, 2]}, "no picture, only 'state'"),
        ({b"\xff": 1}, "no picture, only"),
        ({"a": packed(FRAME), "b": packed(FRAME)}, "has 2 pictures ('a', 'b')"),
        ({"a/image": packed(FRAME), "b/image": packed(FRAME)}, "has 2 pictures"),
        ({"image": "picture"}, "'image' is 'picture'"),
        ({"image": {}}, "'image' is a dict"),
        ({"image": packed(FRAME.astype(np.float32))}, "'image' has dtype '<f4'"),
        ({"image": packed(FRAME, dtype="|O")}, "'image' has dtype '|O'"),
        ({"image": packed(FRAME, dtype=3)}, "'image' has dtype 3"),
        ({"image": packed(FRAME, data="text")}, "the data of 'image' is 'text'"),
        ({"image": packed(FRAME, data=None)}, "the data of 'image' is None"),
        ({"image": packed(FRAME, shape=[256, 256, 4])}, "needs 262144 bytes, not 196608"),
        ({"image": packed(FRAME, shape=[2**31, 1, 3])}, "must be a list of its sizes, and 2147483648"),
        ({"image": packed(FRAME, shape=[-1, 256, 3])}, "must be a list of its sizes, and -1 is not"),
        ({"image": packed(FRAME, shape=[256.0, 256, 3])}, "must be a list of its sizes"),
        ({"image": packed(FRAME, shape=None)}, "must be a list of its sizes"),
        ({"image": packed(FRAME, shape=[1, 256, 256, 3])}, "'image' has 4 dimensions"),
        ({"image": packed(FRAME[:0])}, "no pixels"),
        ({"image": packed(FRAME[:, :, :2])}, "shape (256, 256, 2)"),
    ],
)
def test_an_observation_without_one_good_picture_is_told_what_is_wrong(
    observation: dict[str, object], why: str
) -> None:
    event = receive(observation).event
    assert isinstance(event, ImageError)
    assert why in str(event)


def test_the_other_fields_are_those_of_every_request() -> None:
    scalar = {b"__npgeneric__": True, b"data": 7, b"dtype": "<i8"}
    asked = request({"image": packed(FRAME), "seed": scalar, "model": "other", "prompt": "pick up the cup"})
    assert (asked.seed, asked.model, asked.prompt) == (7, "other", "pick up the cup")
    assert request({"image": packed(FRAME), "prompt": 3}).prompt is None
    assert request({"image": packed(FRAME), "game": "Celeste", "prompt": "x"}).game == "Celeste"
    assert "seed must be" in refused({"image": packed(FRAME), "seed": "seven"})
    assert "not a Array" in refused({"image": packed(FRAME), "seed": packed(FRAME)})


@pytest.mark.parametrize(
    ("name", "acknowledged", "event"),
    [
        ("episode_start", "episode_start", Request("reset")),
        ("episode_end", "episode_end", Reply()),
        ("dance", "ignored", Reply()),
        (["episode_start"], "ignored", Reply()),
    ],
)
def test_controls_are_acknowledged(name: object, acknowledged: str, event: object) -> None:
    one = receive({"__ctrl__": name})
    assert one.event == event
    message = one.encode(Reply())
    assert (msgpack.unpackb(message.data), message.is_text) == ({"__ack__": acknowledged}, False)
    assert one.encode(Reply(error="too many")).data == b"too many"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not msgpack that the gateway reads"),
        (b"\xc1", "not msgpack that the gateway reads"),
        (b"\x81\xa1a", "not msgpack that the gateway reads"),
        (b"\x80\x80", "not msgpack that the gateway reads"),
        (msgpack.packb([1]), "an observation is a map of names to values, not a list"),
        (msgpack.packb({"a": [[]] * MAX_CONTAINERS}), "more than 256 maps and arrays"),
        (msgpack.packb({"a": "x" * 5000}), "not msgpack that the gateway reads"),
        (msgpack.packb({"a": msgpack.ExtType(4, b"x")}), "not msgpack that the gateway reads"),
        (b"\x81\xa1a" + 2000 * b"\x91" + b"\x90", "not msgpack that the gateway reads"),
        (b"\xdf\xff\xff\xff\xff", "not msgpack that the gateway reads"),
        (b"\x81\x90\x90", "not msgpack that the gateway reads"),
        (b"\x81\xa1a\xc6\xff\xff\xff\xff", "not msgpack that the gateway reads"),
    ],
)
def test_bytes_that_are_no_observation_are_told_so(data: bytes, why: str) -> None:
    (one,) = PolicyMessages(2**20).receive(data, is_text=False)
    assert isinstance(one.event, RequestError)
    assert why in str(one.event)
    assert one.encode(Reply(error="no")).is_text


def test_a_text_message_is_an_error() -> None:
    (one,) = PolicyMessages(2**20).receive(b"{}", is_text=True)
    assert "not as text" in str(one.event)


def test_the_first_message_tells_the_facts_as_far_as_they_are_known() -> None:
    opening = PolicyMessages(2**20).opening()
    assert opening.event == Request("info")
    known = opening.encode(Reply(info={"horizon": 18}))
    assert (msgpack.unpackb(known.data), known.is_text) == (
        {"horizon": 18, "action_names": list(ACTION_NAMES)},
        False,
    )
    unknown = opening.encode(Reply(error="Triton is down"))
    assert msgpack.unpackb(unknown.data) == {"action_names": list(ACTION_NAMES)}
    assert len(ACTION_NAMES) == ACTION_WIDTH


def test_a_reply_is_what_openpis_clients_read() -> None:
    messages = PolicyMessages(2**20)
    random = np.random.default_rng(7)
    left, right = random.standard_normal((2, 18, 2)).astype(np.float32)
    buttons = random.integers(0, 2, (18, 21)).astype(np.float32)
    reply = Reply(chunk=ActionChunk(left, right, buttons), timing=Timing(1.0, 2.0, 3.5))
    observation = {"image": packed(FRAME)}
    (one,) = messages.receive(msgpack.packb(observation), is_text=False)
    got = unpacked(one.encode(reply).data)
    np.testing.assert_array_equal(got["actions"], np.concatenate([buttons, left, right], 1))
    assert got["actions"].dtype == np.float32
    for name, array in (("j_left", left), ("j_right", right), ("buttons", buttons)):
        np.testing.assert_array_equal(got[name], array)
    assert got.keys() == {"actions", "j_left", "j_right", "buttons", "server_timing"}
    assert got["server_timing"] == {"infer_ms": 2.0}
    (two,) = messages.receive(msgpack.packb({**observation, "timing": True}), is_text=False)
    got = unpacked(two.encode(reply).data)
    assert got["server_timing"] == {"infer_ms": 2.0, "prev_total_ms": 3.5}
    assert got["timing"] == {"decode_ms": 1.0, "infer_ms": 2.0, "total_ms": 3.5}
    error = two.encode(Reply(error="no \ud800 such game"))
    assert (error.data, error.is_text) == (b"no \\ud800 such game", True)


@given(st.binary(max_size=200))
def test_whatever_comes_is_one_request_or_a_refusal(data: bytes) -> None:
    (one,) = PolicyMessages(2**20).receive(data, is_text=False)
    assert isinstance(one.event, Request | Reply | RequestError)
