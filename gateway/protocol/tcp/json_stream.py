"""Port 5556's JSON format without sockets: bytes to requests, replies to lines.

A request is one line of JSON and, for predict, the image's bytes; a reply is one line of JSON.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import cast

from contract.tensors import FRAME_BYTES
from gateway.errors import ForeignError, FramingError, RequestError
from gateway.protocol.bmp import NEED_MORE_BYTES, bmp_size
from gateway.protocol.json_format import goes_on_after_object, parse_object, reply_line
from gateway.protocol.messages import RESIZE_MODES, Event, ImageFile, RawFrame, Reply, ResizeMode
from gateway.protocol.options import Options, read_hello, read_options, read_type
from gateway.protocol.played import read_played
from gateway.protocol.tcp.foreign_streams import HEAD_BYTES, stranger
from gateway.protocol.tcp.framed_stream import LINE_ENDS, Body, FramedStream
from gateway.safe_text import describe

# How much of a chunk is searched for a newline at once: more than the usual line's length.
_WINDOW_BYTES = 512
# Some libraries write it before their first text.
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"
# Line ends before a picture: few, since a raw frame may begin with such bytes.
_MAX_LINE_ENDS = 4
_FIRST_LINE_ENDS = re.compile(rb"[\r\n]{0,%d}" % _MAX_LINE_ENDS)
# A BMP file may begin with one of these after line ends, and so may a raw frame.
_AMBIGUOUS = b"B" + LINE_ENDS
# The first bytes of PNG, JPEG, BMP and WebP.
_PICTURES_BEGIN = b"\x89\xffBR"

_EXAMPLE = 'send one line such as {"type": "predict", "len": 1234}, then the image bytes'
_WRONG_LENGTH = f"was the last picture longer than its len, or than the {FRAME_BYTES} bytes of a raw frame?"
_NO_NEWLINE = "it has no newline at its end: send one after each line of JSON"
_IMAGE_IN_JSON = "the JSON cannot hold the picture: send its bytes after the line, and their number as len"


@dataclass(frozen=True, slots=True)
class _Predict:
    """A predict whose image is still to come.

    `length` is 0 while it is unknown whether a raw frame or a BMP file follows. `error` is what was wrong
    with the options; it is reported once the image is read, so that the stream can go on.
    """

    resize_mode: ResizeMode
    options: Options
    error: RequestError | None
    length: int

    def file(self, data: bytearray, *, may_be_raw: bool = True) -> Event:
        return self.error or self.options.request("predict", ImageFile(data, self.resize_mode, may_be_raw))

    def raw_frame(self, data: bytearray) -> Event:
        return self.error or self.options.request("predict", RawFrame(data))


class JsonStream(FramedStream):
    """One connection's parser: lines of JSON, each followed by its image's bytes."""

    def __init__(self, **limits: int) -> None:
        super().__init__(**limits)
        self._line = bytearray()
        self._is_first_line = True
        # Most clients send the same line before each image: this is it with its newline, empty at first.
        self._known_line = b""
        self._known = _Predict("pad", Options(), None, 0)
        # Set while it is unknown whether a raw frame or a BMP file follows the line; then its first bytes.
        self._unsized: _Predict | None = None
        self._head = bytearray()

    def encode(self, reply: Reply) -> bytes:
        """Return the reply as one line of JSON."""
        return reply_line(reply)

    def _read_header(self) -> Event | Body | None:
        if self._unsized is None:
            found: Event | _Predict | None
            known = self._known_line
            if known and not self._line and self._rest[: len(known)] == known:
                self._rest = self._rest[len(known) :]
                found = self._known
            else:
                line = self._next_line()
                found = None if line is None else self._read_line(line)
            if not isinstance(found, _Predict):
                return found
            self._unsized = found
            self._head.clear()
        return self._sized_body(self._unsized)

    def _unfinished(self) -> tuple[str, int] | None:
        if self._unsized is not None:
            return "an image", len(self._head)
        return ("a header line", len(self._line)) if self._line else None

    def _why_unfinished(self) -> str | None:
        if self._unsized is not None or not self._line:
            return None
        try:
            parse_object(bytes(self._line).removeprefix(_BYTE_ORDER_MARK), self.max_header_depth)
        except RequestError:
            known = stranger(bytes(self._line[:HEAD_BYTES]), "TCP") if self._is_first_line else None
            return self._hint(self._line) or known
        return _NO_NEWLINE

    def _next_line(self) -> bytes | None:
        """Return the next line that is not blank, without its newline, or None until it is complete."""
        if not self._line and not self._skip(_BLANKS):
            return None
        end = -1
        while end < 0 and (window := self._look(_WINDOW_BYTES)):
            end = window.find(b"\n")
            self._line += self._take(len(window) if end < 0 else end)
            self._check_beginning(is_complete=end >= 0)
            if len(self._line) > self.max_header_bytes:
                hint = self._hint(self._line[: self.max_header_bytes]) or _EXAMPLE
                raise FramingError(f"the header line is longer than {self.max_header_bytes} bytes: {hint}")
        if end < 0:
            return None
        self._take(1)
        line = bytes(self._line)
        self._line.clear()
        self._is_first_line = False
        return line

    def _hint(self, line: bytes | bytearray) -> str | None:
        """Return what is probably wrong with a line that is not JSON, or too long."""
        text = bytes(line).removeprefix(_BYTE_ORDER_MARK)
        if goes_on_after_object(text, self.max_header_depth):
            return _NO_NEWLINE
        return _IMAGE_IN_JSON if b'"image"' in text else None

    def _check_beginning(self, *, is_complete: bool) -> None:
        """Raise the error of a line that cannot become JSON, as soon as that is clear."""
        head = bytes(self._line[: len(_BYTE_ORDER_MARK) + HEAD_BYTES]).removeprefix(_BYTE_ORDER_MARK)
        head = head[:HEAD_BYTES]
        if len(head) < HEAD_BYTES and not is_complete:
            return
        if head.lstrip(_BLANKS)[:1] in (b"", b"{") and head[1:2] != b"\0":
            return
        if self._is_first_line and (known := stranger(head, "TCP")) is not None:
            raise ForeignError(known)
        hint = _EXAMPLE if self._is_first_line else _WRONG_LENGTH
        raise FramingError(f"the header line begins with {head!r}, which is not a JSON object; {hint}")

    def _read_line(self, line: bytes) -> Event | _Predict:
        found = self._understand(line)
        if isinstance(found, _Predict) and len(line) <= _WINDOW_BYTES:
            self._known_line, self._known = line + b"\n", found
        return found

    def _understand(self, line: bytes) -> Event | _Predict:
        try:
            fields = parse_object(line.removeprefix(_BYTE_ORDER_MARK), self.max_header_depth)
        except RequestError as error:
            hint = self._hint(line) or _EXAMPLE
            raise FramingError(f"the header line cannot be read: {error}; {hint}") from error
        if fields.get("type") == "hello":
            return read_hello(fields)
        try:
            type_ = read_type(fields)
        except RequestError as error:
            raise FramingError(str(error)) from error
        options, played, problem = Options(), None, None
        try:
            options = read_options(fields, type_)
            played = read_played(fields) if type_ == "played" else None
        except RequestError as wrong:
            problem = wrong
        if type_ == "predict":
            if "image" in fields and "len" not in fields:
                raise FramingError(_IMAGE_IN_JSON)
            mode = fields.get("resize_mode")
            resize_mode = mode if isinstance(mode, str) and mode in RESIZE_MODES else "pad"
            length = self._image_length(fields["len"]) if "len" in fields else 0
            return _Predict(cast(ResizeMode, resize_mode), options, problem, length)
        return problem or options.request(type_, played=played)

    def _image_length(self, length: object) -> int:
        if isinstance(length, float) and length.is_integer():
            # Some languages know only one kind of number.
            length = int(length)
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            raise FramingError(f"len must be the number of image bytes, not {describe(length)}")
        if length > self.max_image_bytes:
            raise FramingError(
                f"len is {describe(length)}; send an image of at most {self.max_image_bytes} bytes"
            )
        return length

    def _sized_body(self, predict: _Predict) -> Body | None:
        """Return the body of an image, once its first bytes tell a BMP file from a raw frame."""
        if predict.length:
            # No picture file begins with a line's end; pixels may.
            if not (self._past_line_ends(predict.length) if predict.length != FRAME_BYTES else self._look(1)):
                return None
            body = Body(predict.length, predict.file)
            body.take(self._head)
        elif not self._head and (first := self._look(1)) and first not in _AMBIGUOUS:
            body = Body(FRAME_BYTES, predict.raw_frame)
        else:
            # One byte at a time, and no more than necessary: a tiny BMP file may end right here.
            while (size := bmp_size(self._head[self._line_ends() :])) == NEED_MORE_BYTES:
                byte = self._take(1)
                if not byte:
                    return None
                self._head += byte
            if size is None:
                body = Body(FRAME_BYTES, predict.raw_frame)
                body.take(self._head)
            else:
                body = Body(self._image_length(size), partial(predict.file, may_be_raw=False))
                body.take(self._head[self._line_ends() :])
        self._unsized = None
        return body

    def _past_line_ends(self, length: int) -> bool:
        """Skip the line ends before a picture file; return whether it is known where its bytes begin.

        If no picture file follows, they are the first of the `length` bytes, in `_head`.
        """
        most = min(_MAX_LINE_ENDS, length)
        while (first := self._look(1)) and first in LINE_ENDS and len(self._head) < most:
            self._head += self._take(1)
        if first and first in _PICTURES_BEGIN:
            self._head.clear()
        return bool(first) or len(self._head) == length

    def _line_ends(self) -> int:
        """Return how many bytes of line ends the picture's first bytes begin with."""
        return _FIRST_LINE_ENDS.match(self._head).end()  # type: ignore[union-attr]  # it matches nothing, too
