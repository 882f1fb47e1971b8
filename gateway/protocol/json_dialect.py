"""Port 5556's JSON dialect without sockets: bytes to requests, replies to lines.

A request is one line of JSON and, for predict, the image's bytes; a reply is one line of JSON.
"""

from dataclasses import dataclass
from typing import Unpack, cast

from gateway.errors import FramingError, RequestError
from gateway.protocol.bmp import NEED_MORE_BYTES, bmp_size
from gateway.protocol.framed_stream import Body, FramedStream, Limits
from gateway.protocol.json_replies import reply_json
from gateway.protocol.json_text import parse_object
from gateway.protocol.messages import (
    FRAME_BYTES,
    RESIZE_MODES,
    Event,
    ImageFile,
    RawFrame,
    Reply,
    RequestType,
    ResizeMode,
)
from gateway.protocol.options import Options, describe, read_hello, read_options

# How much of a chunk is searched for a newline at once: more than an ordinary line has.
_WINDOW_BYTES = 512


@dataclass(frozen=True, slots=True)
class _Predict:
    """A predict whose image has still to come.

    `length` is 0 while it is not known whether a raw frame or a BMP file follows. `error` is what was wrong
    with the options: it is reported once the image is consumed, with the stream in step.
    """

    resize_mode: ResizeMode
    options: Options
    error: RequestError | None
    length: int

    def file(self, data: bytearray, *, may_be_raw: bool = True) -> Event:
        return self.error or self.options.request("predict", ImageFile(data, self.resize_mode, may_be_raw))

    def bmp_file(self, data: bytearray) -> Event:
        return self.file(data, may_be_raw=False)

    def raw_frame(self, data: bytearray) -> Event:
        return self.error or self.options.request("predict", RawFrame(data))


class JsonDialect(FramedStream):
    """One connection's parser: lines of JSON, each followed by its image's bytes."""

    def __init__(self, **limits: Unpack[Limits]) -> None:
        super().__init__(**limits)
        self._line = bytearray()
        # Most clients send the same line before each image.
        self._known_line: bytes | None = None
        self._known = _Predict("pad", Options(), None, 0)
        # Set while it is not known whether a raw frame or a BMP file follows the line; then its first bytes.
        self._unsized: _Predict | None = None
        self._head = bytearray()

    def encode(self, reply: Reply) -> bytes:
        """The reply as one line of JSON."""
        return encode_reply(reply)

    def _read_header(self) -> Event | Body | None:
        if self._unsized is None:
            line = self._next_line()
            found = None if line is None else self._read_line(line)
            if not isinstance(found, _Predict):
                return found
            if found.length:
                return Body(found.length, found.file)
            self._unsized = found
            self._head.clear()
        return self._sized_body(self._unsized)

    def _unfinished(self) -> tuple[str, int] | None:
        if self._unsized is not None:
            return "an image", len(self._head)
        return ("a header line", len(self._line)) if self._line else None

    def _next_line(self) -> bytes | None:
        """The next line without its newline, or None while it is not complete."""
        end = -1
        while end < 0 and (window := self._look(_WINDOW_BYTES)):
            end = window.find(b"\n")
            self._line += self._take(len(window) if end < 0 else end)
            if len(self._line) > self.max_header_bytes:
                raise FramingError(f"the header line is longer than {self.max_header_bytes} bytes")
        if end < 0:
            return None
        self._take(1)
        line = bytes(self._line)
        self._line.clear()
        return line

    def _read_line(self, line: bytes) -> Event | _Predict:
        if line == self._known_line:
            return self._known
        found = self._understand(line)
        if isinstance(found, _Predict) and len(line) <= _WINDOW_BYTES:
            self._known_line, self._known = line, found
        return found

    def _understand(self, line: bytes) -> Event | _Predict:
        try:
            fields = parse_object(line, self.max_header_depth)
        except RequestError as error:
            raise FramingError(
                f"the header line cannot be read: {error}; send one line such as "
                '{"type": "predict", "len": 1234}, then the image bytes'
            ) from error
        type_ = fields.get("type")
        if type_ == "hello":
            return read_hello(fields)
        if not isinstance(type_, str) or type_ not in ("predict", "reset", "info"):
            raise FramingError(f'unknown request type {describe(type_)}; send "predict", "reset" or "info"')
        options, problem = Options(), None
        try:
            options = read_options(fields)
        except RequestError as wrong:
            problem = wrong
        if type_ == "predict":
            mode = fields.get("resize_mode")
            resize_mode = mode if isinstance(mode, str) and mode in RESIZE_MODES else "pad"
            length = self._image_length(fields["len"]) if "len" in fields else 0
            return _Predict(cast(ResizeMode, resize_mode), options, problem, length)
        return problem or options.request(cast(RequestType, type_))

    def _image_length(self, length: object) -> int:
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            raise FramingError(f"len must be the number of image bytes, not {describe(length)}")
        if length > self.max_image_bytes:
            raise FramingError(
                f"len is {describe(length)}; send an image of at most {self.max_image_bytes} bytes"
            )
        return length

    def _sized_body(self, predict: _Predict) -> Body | None:
        """The body of an image without `len`, once its first bytes tell whether it is a BMP file."""
        # One byte at a time, never more than tells: a tiny BMP file may end where it is known to be one.
        while (size := bmp_size(self._head)) == NEED_MORE_BYTES:
            byte = self._take(1)
            if not byte:
                return None
            self._head += byte
        if size is None:
            body = Body(FRAME_BYTES, predict.raw_frame)
        else:
            body = Body(self._image_length(size), predict.bmp_file)
        body.take(self._head)
        self._unsized = None
        return body


def encode_reply(reply: Reply) -> bytes:
    """The reply as one line of JSON, ended by a newline: at most 71 + 76 x T bytes for a chunk."""
    return reply_json(reply) + b"\n"
