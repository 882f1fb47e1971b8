"""Port 5556's JSON dialect without sockets: bytes to requests, replies to lines.

A request is one line of JSON and, for predict, the image's bytes; a reply is one line of JSON.
"""

import json
from dataclasses import dataclass, replace
from functools import cache
from typing import cast

import numpy as np
import orjson

from gateway.errors import FramingError, RequestError
from gateway.protocol.bmp import NEED_MORE_BYTES, bmp_size
from gateway.protocol.messages import (
    FRAME_BYTES,
    ActionChunk,
    Image,
    ImageFile,
    RawFrame,
    Reply,
    Request,
    RequestType,
    ResizeMode,
    Timing,
)
from gateway.protocol.options import Options, describe, read_options

MAX_HEADER_BYTES = 65_536
MAX_IMAGE_BYTES = 32 * 2**20
MAX_HORIZON = 52  # 71 + 76 * 52 = 4023 bytes: the Lua agent reads 4,096 once
MAX_ERROR_LINE_BYTES = 1400  # one Ethernet segment

_BMP_HEAD_BYTES = 64
_RESIZE_MODES = frozenset({"pad", "crop", "stretch"})


@dataclass(frozen=True, slots=True)
class _Header:
    """A header whose image has still to come.

    `length` is 0 while it is not known whether a raw frame or a BMP file follows. `error` is what was wrong
    with the options: it is reported once the image is consumed, with the stream in step.
    """

    resize_mode: ResizeMode
    options: Options
    error: RequestError | None
    length: int
    is_raw: bool = False
    may_be_raw: bool = True

    def request(self, body: bytes) -> Request:
        image: Image = RawFrame(body) if self.is_raw else ImageFile(body, self.resize_mode, self.may_be_raw)
        return self.options.request("predict", image)


class JsonDialect:
    """One connection's parser: bytes in, requests and errors out, in their order.

    Args:
        max_header_bytes: The longest line that is taken, without its newline.
        max_image_bytes: The longest image that is taken.
    """

    def __init__(
        self, *, max_header_bytes: int = MAX_HEADER_BYTES, max_image_bytes: int = MAX_IMAGE_BYTES
    ) -> None:
        self._max_header_bytes = max_header_bytes
        self._max_image_bytes = max_image_bytes
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer that hold no newline
        self._header: _Header | None = None
        self._failed = False

    @property
    def inside_request(self) -> bool:
        """Whether bytes of an unfinished request are held."""
        return not self._failed and (self._header is not None or bool(self._buffer))

    def receive(self, data: bytes) -> list[Request | RequestError]:
        """The requests and errors that `data` completes.

        A `FramingError` is the last event of a connection: everything after it is ignored. Any other
        `RequestError` leaves the stream in step.
        """
        events: list[Request | RequestError] = []
        if self._failed:
            return events
        self._buffer += data
        try:
            while (event := self._next_event()) is not None:
                events.append(event)
        except FramingError as error:
            events.append(error)
            self._fail()
        return events

    def receive_eof(self) -> RequestError | None:
        """The error of a stream that ends inside a request, or None where it may end."""
        if not self.inside_request:
            return None
        where = "a header line" if self._header is None else "an image"
        held = len(self._buffer)
        self._fail()
        return FramingError(
            f"the stream ended inside {where}, after {held} of its bytes; send whole requests"
        )

    def _fail(self) -> None:
        self._failed = True
        self._header = None
        self._buffer.clear()

    def _next_event(self) -> Request | RequestError | None:
        """The next event of the buffer, or None when it needs more bytes."""
        if self._header is None:
            line = self._next_line()
            if line is None:
                return None
            event = self._read_header(line)
            if not isinstance(event, _Header):
                return event
            self._header = event
        return self._read_image(self._header)

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched, self._max_header_bytes + 1)
        if end < 0:
            self._searched = len(self._buffer)
            if self._searched > self._max_header_bytes:
                raise FramingError(f"the header line is longer than {self._max_header_bytes} bytes")
            return None
        self._searched = 0
        return self._take(end + 1)

    def _take(self, count: int) -> bytes:
        with memoryview(self._buffer) as view:
            taken = bytes(view[:count])
        del self._buffer[:count]
        return taken

    def _read_header(self, line: bytes) -> Request | RequestError | _Header:
        fields = _parse_line(line)
        type_ = fields.get("type")
        if not isinstance(type_, str) or type_ not in ("predict", "reset", "info"):
            raise FramingError(f'unknown request type {describe(type_)}; send "predict", "reset" or "info"')
        options, error = Options(), None
        try:
            options = read_options(fields)
        except RequestError as wrong:
            error = wrong
        if type_ == "predict":
            mode = fields.get("resize_mode")
            resize_mode = mode if isinstance(mode, str) and mode in _RESIZE_MODES else "pad"
            length = self._image_length(fields["len"]) if "len" in fields else 0
            return _Header(cast(ResizeMode, resize_mode), options, error, length)
        return error or options.request(cast(RequestType, type_))

    def _image_length(self, length: object) -> int:
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            raise FramingError(f"len must be the number of image bytes, not {describe(length)}")
        if length > self._max_image_bytes:
            raise FramingError(
                f"len is {describe(length)}; send an image of at most {self._max_image_bytes} bytes"
            )
        return length

    def _read_image(self, header: _Header) -> Request | RequestError | None:
        if header.length == 0:
            size = bmp_size(self._buffer[:_BMP_HEAD_BYTES])
            if size == NEED_MORE_BYTES:
                return None
            is_raw = size is None
            length = FRAME_BYTES if size is None else self._image_length(size)
            header = replace(header, length=length, is_raw=is_raw, may_be_raw=False)
            self._header = header
        if len(self._buffer) < header.length:
            return None
        body = self._take(header.length)
        self._header = None
        return header.error or header.request(body)


def _parse_line(line: bytes) -> dict[str, object]:
    try:
        fields = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise FramingError(
            f"the header line is no JSON ({error}); send one line such as "
            '{"type": "predict", "len": 1234}, then the image bytes'
        ) from error
    if not isinstance(fields, dict):
        raise FramingError(f"the header line must be a JSON object, not {describe(fields)}")
    return fields


def encode_reply(reply: Reply) -> bytes:
    """The reply as one line of JSON, without blanks, ended by a newline.

    A chunk's line has at most 71 + 76 x T bytes (1,439 for T = 18): the deployed Lua agent reads 4,096 bytes
    once and takes no exponents. Longer horizons than MAX_HORIZON become an error line; error lines are cut
    to MAX_ERROR_LINE_BYTES.
    """
    if reply.error is not None:
        return _error_line(reply.error)
    parts = [b'{"status":"ok"']
    if reply.chunk is not None:
        horizon = len(reply.chunk.buttons)
        if horizon > MAX_HORIZON:
            return _error_line(
                f"the model's action horizon of {horizon} steps exceeds the {MAX_HORIZON} that this port "
                "can answer with; use port 5555"
            )
        parts.append(b',"pred":' + _pred(reply.chunk) + b',"repeat":1')
    elif reply.info is not None:
        parts.append(b',"info":' + orjson.dumps(dict(reply.info)))
    if reply.timing is not None:
        parts.append(b',"timing":' + _timing(reply.timing))
    return b"".join((*parts, b"}\n"))


def _pred(chunk: ActionChunk) -> bytes:
    sticks = (*chunk.j_left.ravel().tolist(), *chunk.j_right.ravel().tolist())
    text = (_sticks_template(len(chunk.buttons)) % sticks).replace("-0.000", "0.000")
    buttons = orjson.dumps(chunk.buttons.astype(np.int8, order="C"), option=orjson.OPT_SERIALIZE_NUMPY)
    return b'%b"buttons":%b}' % (text.encode(), buttons)


@cache
def _sticks_template(horizon: int) -> str:
    rows = ",".join(["[%.3f,%.3f]"] * horizon)
    return f'{{"j_left":[{rows}],"j_right":[{rows}],'


def _timing(timing: Timing) -> bytes:
    values = (timing.decode_ms, timing.infer_ms, timing.total_ms)
    return b'{"decode_ms":%.3f,"infer_ms":%.3f,"total_ms":%.3f}' % values


def _error_line(message: str) -> bytes:
    while True:
        line = b'{"status":"error","message":%b}\n' % json.dumps(message).encode()
        if len(line) <= MAX_ERROR_LINE_BYTES:
            return line
        # Escapes make a character up to 12 bytes long, so the cut is found by trying.
        message = message[: min(len(message) * 3 // 4, MAX_ERROR_LINE_BYTES)].removesuffix("...") + "..."
