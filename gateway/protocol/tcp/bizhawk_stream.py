"""Port 5556's second format, without sockets: EmuHawk's own (`comm.socketServer...`).

In both directions a frame is the payload's length in decimal digits, a blank, and the payload. That is either
a screenshot, which is a predict with the connection's options, or a JSON object, which is a command.
"""

import re
from typing import cast

from gateway.errors import FramingError, RequestError
from gateway.protocol.json_format import parse_object, reply_json
from gateway.protocol.messages import (
    RESIZE_MODES,
    Event,
    ImageFile,
    Reply,
    RequestType,
    ResizeMode,
    TickNoise,
)
from gateway.protocol.options import OPTION_NAMES, Options, read_hello, read_options
from gateway.protocol.played import read_played
from gateway.protocol.tcp.framed_stream import LINE_ENDS, Body, FramedStream
from gateway.safe_text import describe

MAX_LENGTH_DIGITS = 9

_DIGITS = re.compile(rb"[0-9]*")

_SETTABLE = ("resize_mode", *OPTION_NAMES)


class BizHawkStream(FramedStream):
    """One connection's parser, with the options for its requests."""

    def __init__(self, **limits: int) -> None:
        super().__init__(**limits)
        self._digits = b""
        self._resize_mode: ResizeMode = "pad"
        self._fields: dict[str, object] = {}
        self._options = Options()

    @property
    def inside_image(self) -> bool:
        """Whether the arriving frame is an image; the first byte of a short one tells."""
        body = self._body
        if body is None or not super().inside_image:
            return False
        return body.length > self.max_header_bytes or (body.received > 0 and body.data[:1] != b"{")

    def encode(self, reply: Reply) -> bytes:
        """Return the reply as a frame, whose length counts bytes."""
        payload = reply_json(reply)
        return b"%d %b" % (len(payload), payload)

    def _read_header(self) -> Event | Body | None:
        held = len(self._digits)
        if not held:
            self._skip(LINE_ENDS)
        begun = self._digits + self._look(MAX_LENGTH_DIGITS + 1 - held)
        digits = _DIGITS.match(begun)[0]  # type: ignore[index]  # it matches nothing, too
        end = begun[len(digits) : len(digits) + 1]
        if len(digits) > MAX_LENGTH_DIGITS or (end and (end != b" " or not digits)):
            shown = (digits + end).decode("latin1")
            raise FramingError(
                f"a frame must begin with its length, of at most {MAX_LENGTH_DIGITS} digits, and a blank, "
                f"not with {shown!a}"
            )
        self._take(len(digits) + len(end) - held)
        self._digits = b"" if end else digits
        return self._body_of_length(int(digits)) if end else None

    def _body_of_length(self, length: int) -> Body:
        if length > self.max_image_bytes:
            raise FramingError(f"a frame's length is {length}; send at most {self.max_image_bytes} bytes")
        return Body(length, self._read_payload)

    def _unfinished(self) -> tuple[str, int] | None:
        return ("a frame's length", len(self._digits)) if self._digits else None

    def _read_payload(self, payload: bytearray) -> Event:
        if not payload:
            raise RequestError('the frame is empty; send a screenshot, or a command such as {"type": "info"}')
        if payload[:1] != b"{":
            image = ImageFile(payload, self._resize_mode, may_be_raw=False)
            return self._options.request("predict", image)
        if len(payload) > self.max_header_bytes:
            raise RequestError(f"the command has {len(payload)} bytes; send at most {self.max_header_bytes}")
        try:
            fields = parse_object(bytes(payload), self.max_header_depth)
        except RequestError as error:
            raise RequestError(f"the command cannot be read: {error}") from error
        return self._command(fields)

    def _command(self, fields: dict[str, object]) -> Event:
        match fields.get("type"):
            case "hello":
                return read_hello(fields)
            case "options":
                return self._set_options(fields)
            case "reset" | "info" as type_:
                options = read_options({**self._fields, **fields}, cast(RequestType, type_))
                return options.request(cast(RequestType, type_))
            case "played":
                return Options().request("played", played=read_played(fields))
            case "predict":
                raise RequestError(
                    "a predict is the screenshot itself, as a frame of its own; set its options before with "
                    '{"type": "options"}'
                )
            case type_:
                raise RequestError(
                    f'unknown command {describe(type_)}; send "options", "reset" or "info", or a screenshot'
                )

    def _set_options(self, fields: dict[str, object]) -> Reply:
        """Use the options of this command, and only these, from now on."""
        for name in fields:
            if name != "type" and name not in _SETTABLE:
                raise RequestError(f"unknown option {describe(name)}; the options are {', '.join(_SETTABLE)}")
        mode = fields.get("resize_mode", "pad")
        if not isinstance(mode, str) or mode not in RESIZE_MODES:
            raise RequestError(f"resize_mode must be {', '.join(sorted(RESIZE_MODES))}, not {describe(mode)}")
        options = read_options(fields)
        if isinstance(options.noise, TickNoise):
            raise RequestError(
                'noise by tick needs each picture\'s tick, which a screenshot lacks: send {"memory": 1}'
            )
        self._options = options
        self._fields = {name: fields[name] for name in OPTION_NAMES if name in fields}
        self._resize_mode = cast(ResizeMode, mode)
        return Reply()
