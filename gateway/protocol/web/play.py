"""The browser's format, WebSocket `/play`: port 5556's JSON objects as text, pictures as binary messages.

A predict is a text message and the binary message of its picture; every other request is one text message.
Each gets one text message back, in order, with the request's own `id` if it has one.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import cv2
import numpy as np
import orjson

from contract.tensors import FRAME_BYTES, FRAME_SIDE
from gateway.errors import ImageError, RequestError
from gateway.protocol.json_format import parse_object, reply_json
from gateway.protocol.messages import (
    RESIZE_MODES,
    Event,
    Image,
    ImageFile,
    RawFrame,
    Reply,
    ResizeMode,
)
from gateway.protocol.options import Options, read_hello, read_options, read_type
from gateway.protocol.played import read_played
from gateway.protocol.web.messages import Incoming, Message
from gateway.safe_text import describe

MAX_ID_CHARACTERS = 64
# JavaScript rounds larger whole numbers.
_MAX_ID = 2**53

# Halves of surrogate pairs, which are not UTF-8.
_HALVES = re.compile("[\ud800-\udfff]")

_RGBA_SHAPE = (FRAME_SIDE, FRAME_SIDE, 4)
_RGBA_BYTES = math.prod(_RGBA_SHAPE)
_FORMATS = ("file", "rgb", "rgba")
_PICTURE_NEXT = "send its picture as the next message, in binary"


@dataclass(frozen=True, slots=True)
class _Predict:
    """A predict whose picture is still to come; `error` is what was wrong with its text message."""

    options: Options
    image: Callable[[bytes], Image]
    encode: Callable[[Reply], Message]
    error: RequestError | None


class PlayMessages:
    """One connection's messages to requests. The limits are those of port 5556's JSON format."""

    def __init__(self, *, max_header_bytes: int, max_header_depth: int, max_image_bytes: int) -> None:
        self.max_bytes = max(max_header_bytes, max_image_bytes)
        self._max_header_bytes = max_header_bytes
        self._max_header_depth = max_header_depth
        self._max_image_bytes = max_image_bytes
        self._waiting: _Predict | None = None

    def opening(self) -> Incoming | None:
        """Return None: the server has no first message."""
        return None

    def receive(self, data: bytes, *, is_text: bool) -> list[Incoming]:
        """Return what a message means; an empty list for a predict's first one."""
        if not is_text:
            return [self._picture(data)]
        found = (
            []
            if self._waiting is None
            else [_failed(self._waiting, f"a predict has no picture: {_PICTURE_NEXT}")]
        )
        self._waiting = None
        request = self._text(data)
        if isinstance(request, Incoming):
            return [*found, request]
        self._waiting = request
        return found

    def _text(self, data: bytes) -> Incoming | _Predict:
        encode = partial(_encode, None)
        try:
            if len(data) > self._max_header_bytes:
                raise RequestError(f"the text has {len(data)} bytes: send at most {self._max_header_bytes}")
            fields = parse_object(data, self._max_header_depth)
        except RequestError as error:
            return Incoming(error, encode)
        is_predict = fields.get("type") == "predict"
        try:
            encode = partial(_encode, _id(fields.get("id")))
            if not is_predict:
                return Incoming(_request(fields), encode)
            return _Predict(read_options(fields), _image_reader(fields), encode, None)
        except RequestError as error:
            # A predict's picture follows, whatever is wrong with the text.
            return _Predict(Options(), RawFrame, encode, error) if is_predict else Incoming(error, encode)

    def _picture(self, data: bytes) -> Incoming:
        predict, self._waiting = self._waiting, None
        if predict is None:
            lost = 'a picture came without its request: send {"type": "predict"} as text before it'
            return Incoming(RequestError(lost), partial(_encode, None))
        if predict.error is not None:
            return Incoming(predict.error, predict.encode)
        if len(data) > self._max_image_bytes:
            return _failed(
                predict, f"the picture has {len(data)} bytes: send at most {self._max_image_bytes}"
            )
        try:
            return Incoming(predict.options.request("predict", predict.image(data)), predict.encode)
        except ImageError as error:
            return Incoming(error, predict.encode)


def _failed(predict: _Predict, why: str) -> Incoming:
    return Incoming(predict.error or RequestError(why), predict.encode)


def _request(fields: dict[str, object]) -> Event:
    """Return a request that needs no other message.

    Raises:
        RequestError: its type is unknown, or a field is invalid.
    """
    if fields.get("type") == "hello":
        return read_hello(fields)
    type_ = read_type(fields)
    played = read_played(fields) if type_ == "played" else None
    return read_options(fields, type_).request(type_, played=played)


def _image_reader(fields: dict[str, object]) -> Callable[[bytes], Image]:
    """Return a function that makes an image from the picture's bytes, as the request's fields say."""
    format_ = fields.get("format", "file")
    if not isinstance(format_, str) or format_ not in _FORMATS:
        raise RequestError(f"format is {describe(format_)}; send one of {', '.join(_FORMATS)}")
    mode = fields.get("resize_mode", "pad")
    if not isinstance(mode, str) or mode not in RESIZE_MODES:
        raise RequestError(f"resize_mode is {describe(mode)}; send one of {', '.join(sorted(RESIZE_MODES))}")
    length = fields.get("len")
    return partial(_image, format_, cast(ResizeMode, mode), length)


def _image(format_: str, mode: ResizeMode, length: object, data: bytes) -> Image:
    if length is not None and length != len(data):
        raise ImageError(
            f"len is {describe(length)}, but the picture has {len(data)} bytes: send that number, or no len"
        )
    match format_:
        case "rgba":
            _check_length(format_, data, _RGBA_BYTES)
            rgba = np.frombuffer(data, np.uint8).reshape(_RGBA_SHAPE)
            return RawFrame(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB).tobytes())  # numpy takes 30 times as long
        case "rgb":
            _check_length(format_, data, FRAME_BYTES)
            return RawFrame(data)
        case _:
            return ImageFile(data, mode)


def _check_length(format_: str, data: bytes, wanted: int) -> None:
    if len(data) != wanted:
        raise ImageError(
            f"the picture has {len(data)} bytes: {format_} needs the {wanted} of "
            f"{FRAME_SIDE}x{FRAME_SIDE} pixels"
        )


def _id(value: object) -> str | int | float | None:
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= MAX_ID_CHARACTERS and not _HALVES.search(value):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_ID:
        return value
    raise RequestError(
        f"id is {describe(value)}: send a number up to 2**53, or a text of at most {MAX_ID_CHARACTERS} "
        "characters"
    )


def _encode(id_: str | float | None, reply: Reply) -> Message:
    text = reply_json(reply, math.inf)
    if id_ is not None:
        text = b'{"id":%b,%b' % (orjson.dumps(id_), text[1:])
    return Message(text, is_text=True)
