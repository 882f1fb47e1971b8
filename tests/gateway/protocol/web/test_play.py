"""The browser's format: text and binary messages to requests, replies to text."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.tensors import FRAME_BYTES
from gateway.errors import RequestError
from gateway.protocol.messages import ActionChunk, Hello, ImageFile, RawFrame, Reply, Request
from gateway.protocol.web.messages import Incoming, Message, frame_of
from gateway.protocol.web.play import MAX_ID_CHARACTERS, PlayMessages

RGBA = np.random.default_rng(5).integers(0, 256, (256, 256, 4), np.uint8)


def new_messages() -> PlayMessages:
    return PlayMessages(max_header_bytes=4000, max_header_depth=4, max_image_bytes=2**19)


def receive(fields: dict[str, Any] | str, *pictures: bytes) -> list[Incoming]:
    """Return what a request, and the pictures after it, mean."""
    messages = new_messages()
    text = fields if isinstance(fields, str) else json.dumps(fields)
    found = messages.receive(text.encode(), is_text=True)
    for picture in pictures:
        found += messages.receive(picture, is_text=False)
    return found


def refused(fields: dict[str, Any] | str, *pictures: bytes) -> str:
    """Why the request gets an error."""
    (one,) = receive(fields, *pictures)
    assert isinstance(one.event, RequestError)
    return str(one.event)


def replied(incoming: Incoming, reply: Reply) -> dict[str, Any]:
    message = incoming.encode(reply)
    assert message.is_text
    fields: dict[str, Any] = json.loads(message.data)
    return fields


def test_the_server_says_nothing_first() -> None:
    assert new_messages().opening() is None


def test_a_canvas_picture_becomes_its_colours() -> None:
    (one,) = receive({"type": "predict", "format": "rgba", "seed": 3, "game": "Celeste"}, RGBA.tobytes())
    assert isinstance(one.event, Request)
    assert one.event.image == RawFrame(RGBA[:, :, :3].tobytes())
    assert (one.event.seed, one.event.game) == (3, "Celeste")


def test_colours_alone_and_files_are_taken() -> None:
    (raw,) = receive({"type": "predict", "format": "rgb", "len": FRAME_BYTES}, bytes(FRAME_BYTES))
    assert isinstance(raw.event, Request)
    assert raw.event.image == RawFrame(bytes(FRAME_BYTES))
    (file,) = receive({"type": "predict", "resize_mode": "crop"}, b"\x89PNG")
    assert isinstance(file.event, Request)
    assert file.event.image == ImageFile(b"\x89PNG", "crop")


@pytest.mark.parametrize("type_", ["reset", "info"])
def test_other_requests_are_whole_with_their_text(type_: str) -> None:
    (one,) = receive({"type": type_, "model": "other"})
    assert one.event == Request(type_, model="other")  # type: ignore[arg-type]


def test_what_was_pressed_and_a_hello_are_taken() -> None:
    row = {"by": "human", "buttons": [0] * 21, "j_left": [0, 0], "j_right": [0, 0]}
    (pressed,) = receive({"type": "played", "tick": 4, "rows": [row]})
    assert isinstance(pressed.event, Request)
    assert pressed.event.played is not None
    (hello,) = receive({"type": "hello", "token": "secret"})
    assert hello.event == Hello("secret")


@pytest.mark.parametrize("id_", [0, 7, -1.5, 2**53, "", "seven", "x" * MAX_ID_CHARACTERS, '"\\'])
def test_an_id_comes_back_with_the_reply_and_with_an_error(id_: object) -> None:
    (one,) = receive({"type": "reset", "id": id_})
    assert replied(one, Reply()) == {"id": id_, "status": "ok"}
    (wrong,) = receive({"type": "predict", "id": id_, "seed": -1}, b"")
    assert isinstance(wrong.event, RequestError)
    assert replied(wrong, Reply(error="no"))["id"] == id_


@pytest.mark.parametrize(
    "id_", ["true", "[]", "{}", "1e400", "NaN", "9007199254740993", f'"{"x" * 65}"', '"\\ud800"']
)
def test_an_id_of_another_kind_is_refused(id_: str) -> None:
    assert "id is " in refused(f'{{"type": "reset", "id": {id_}}}')


def test_a_predict_with_a_wrong_id_takes_its_picture_with_it() -> None:
    (wrong,) = receive({"type": "predict", "id": [1]}, b"")
    assert "id is a list" in str(wrong.event)


def test_a_long_chunk_comes_whole() -> None:
    (one,) = receive({"type": "reset"})
    sticks, buttons = np.zeros((100, 2), np.float32), np.zeros((100, 21), np.float32)
    assert len(replied(one, Reply(chunk=ActionChunk(sticks, sticks, buttons)))["pred"]["buttons"]) == 100


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("[]", "must be a JSON object"),
        ("{", "it is not JSON"),
        ('{"type":"reset","x":[[[[1]]]]}', "nested more than 4 deep"),
        ("x" * 4001, "the text has 4001 bytes: send at most 4000"),
        ({"type": "dance"}, "unknown request type 'dance'"),
        ({}, "unknown request type None"),
        ({"type": "hello"}, "a hello needs a token"),
        ({"type": "info", "seed": -1}, "seed must be"),
        ({"type": "played"}, "played"),
    ],
)
def test_a_wrong_text_is_an_error_and_the_next_request_is_taken(
    fields: dict[str, Any] | str, why: str
) -> None:
    assert why in refused(fields)


@pytest.mark.parametrize(
    ("fields", "picture", "why"),
    [
        ({"format": "rgba"}, bytes(FRAME_BYTES), "rgba needs the 262144 of 256x256 pixels"),
        ({"format": "rgb"}, b"", "the picture has 0 bytes: rgb needs the 196608"),
        ({"format": "bgr"}, b"", "format is 'bgr'; send one of file, rgb, rgba"),
        ({"format": []}, b"", "format is a list"),
        ({"resize_mode": "zoom"}, b"", "resize_mode is 'zoom'"),
        ({"len": 3}, b"four", "len is 3, but the picture has 4 bytes"),
        ({"model": 3}, b"", "model must be a name"),
        ({}, bytes(2**19 + 1), "the picture has 524289 bytes: send at most 524288"),
    ],
)
def test_a_wrong_predict_is_an_error_once_its_picture_has_come(
    fields: dict[str, Any], picture: bytes, why: str
) -> None:
    assert why in refused({"type": "predict", **fields}, picture)


def test_a_picture_without_a_request_is_an_error() -> None:
    (one,) = new_messages().receive(b"picture", is_text=False)
    assert "came without its request" in str(one.event)


@pytest.mark.parametrize(("seed", "why"), [(1, "has no picture"), (-1, "seed must be")])
def test_a_predict_without_a_picture_is_an_error_and_the_next_request_is_taken(seed: int, why: str) -> None:
    messages = new_messages()
    assert messages.receive(json.dumps({"type": "predict", "seed": seed}).encode(), is_text=True) == []
    wrong, info = messages.receive(b'{"type": "info"}', is_text=True)
    assert why in str(wrong.event)
    assert info.event == Request("info")


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=80) | st.text(max_size=40).map(str.encode))))
def test_whatever_comes_each_text_gets_one_answer(sent: list[tuple[bool, bytes]]) -> None:
    messages = new_messages()
    answers = [one for is_text, data in sent for one in messages.receive(data, is_text=is_text)]
    assert len(answers) == len(sent)


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("is_text", [False, True])
def test_a_message_is_one_frame(length: int, is_text: bool) -> None:
    frame = frame_of(Message(bytes(length), is_text))
    assert frame[0] == (0x81 if is_text else 0x82)
    head = {0: 2, 125: 2, 126: 4, 65_535: 4, 65_536: 10}[length]
    assert len(frame) == head + length
    told = int.from_bytes(frame[2:head]) if head > 2 else frame[1]
    assert told == length
