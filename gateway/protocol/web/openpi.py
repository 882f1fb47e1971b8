"""openpi's policy protocol: observations in msgpack to requests, replies to msgpack.

An array is a map of bytes keys: `__ndarray__`, `data`, `dtype` (as numpy writes it: "|u1", "<f4") and
`shape`; a numpy scalar is one with `__npgeneric__`. An error is a text message. (openpi-client 0.1.2.)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from contract.gamepad import ACTION_WIDTH, BUTTONS, CHUNK_WIDTHS
from contract.tensors import FRAME_SHAPE
from gateway.errors import ImageError, RequestError
from gateway.protocol.formats.bounded_msgpack import MsgpackLimits, read_msgpack
from gateway.protocol.formats.request_fields import pixels_of
from gateway.protocol.messages import ActionChunk, Image, ImageFile, Pixels, RawFrame, Reply, Request
from gateway.protocol.options import read_options
from gateway.protocol.previous import array_of
from gateway.protocol.web.messages import Incoming, Message
from gateway.safe_text import describe, listed

# An observation may also hold a robot's arrays and lists of numbers, which are ignored.
MAX_CONTAINERS = 256
_LIMITS = MsgpackLimits(MAX_CONTAINERS, items=4096, text_bytes=4096)

# The columns of `actions`.
ACTION_NAMES = (*BUTTONS, "J_LEFT_X", "J_LEFT_Y", "J_RIGHT_X", "J_RIGHT_Y")

_UINT8 = frozenset({"|u1", "u1", "<u1", "uint8"})
_NAME_OF_PICTURE = "image"
_WANTED = "send one uint8 array of shape (H, W, 3) or (3, H, W) under the key 'image'"
_CONTROL = "__ctrl__"


@dataclass(frozen=True, slots=True)
class Array:
    """An array as it came, which is checked when it is used."""

    dtype: object
    shape: object
    data: object

    def is_picture(self) -> bool:
        """Return whether it looks like (H, W, 3) or (3, H, W) uint8."""
        shape = self.shape
        has_colours = isinstance(shape, list) and len(shape) == 3 and 3 in (shape[0], shape[2])
        return isinstance(self.dtype, str) and self.dtype in _UINT8 and has_colours


class PolicyMessages:
    """One connection's messages to requests, in openpi's format.

    Args:
        max_bytes: of one message.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        # The last reply's milliseconds, from its observation's last byte on.
        self._previous_ms: float | None = None

    def opening(self) -> Incoming:
        """Return the server's first message: a map of the facts from `info`, and the actions' names."""
        return Incoming(Request("info"), _metadata)

    def receive(self, data: bytes, *, is_text: bool) -> list[Incoming]:
        """Return what a message means: always one request."""
        try:
            if is_text:
                raise RequestError("observations come as msgpack in binary messages, not as text")
            return [self._observation(_read(data))]
        except RequestError as error:
            return [Incoming(error, _sentence)]

    def _observation(self, fields: dict[Any, object]) -> Incoming:
        if _CONTROL in fields:
            return _control(fields[_CONTROL])
        if isinstance(previous := fields.get("previous"), Array):
            fields = fields | {"previous": _parts(previous)}
        options = read_options(fields, read_array=_plain_array)
        prompt = fields.get("prompt")
        request = replace(
            options.request("predict", _image(fields)),
            prompt=prompt if isinstance(prompt, str) else None,
            timing=True,  # for `server_timing`
        )
        return Incoming(request, partial(self._encode, options.timing))

    def _encode(self, asked_timing: bool, reply: Reply) -> Message:
        if reply.chunk is None or reply.timing is None:
            return _sentence(reply)
        parts = {name: _array(getattr(reply.chunk, name)) for name in CHUNK_WIDTHS}
        server_timing = {"infer_ms": reply.timing.infer_ms}
        if self._previous_ms is not None:
            server_timing["prev_total_ms"] = self._previous_ms
        self._previous_ms = reply.timing.total_ms
        fields = {"actions": _array(_actions(reply.chunk)), **parts, "server_timing": server_timing}
        if asked_timing:
            fields["timing"] = {
                "decode_ms": reply.timing.decode_ms,
                "infer_ms": reply.timing.infer_ms,
                "total_ms": reply.timing.total_ms,
            }
        return Message(msgpack.packb(fields), is_text=False)


def _control(name: object) -> Incoming:
    """Forget the frames at the start of an episode; other controls change nothing."""
    known = name in ("episode_start", "episode_end")
    acknowledged = partial(_acknowledged, name if known else "ignored")
    return Incoming(Request("reset") if name == "episode_start" else Reply(), acknowledged)


def _acknowledged(name: object, reply: Reply) -> Message:
    return (
        _sentence(reply)
        if reply.error is not None
        else Message(msgpack.packb({"__ack__": name}), is_text=False)
    )


def _sentence(reply: Reply) -> Message:
    """Return an error message: openpi's clients take every text message for one."""
    return Message((reply.error or "no actions came").encode(errors="backslashreplace"), is_text=True)


def _metadata(reply: Reply) -> Message:
    """Return the model's known facts: clients expect a map first, not an error."""
    fields = {**(reply.info or {}), "action_names": ACTION_NAMES}
    return Message(msgpack.packb(fields), is_text=False)


def _actions(chunk: ActionChunk) -> NDArray[np.float32]:
    """Return a chunk's actions, (T, 25), in the order of `ACTION_NAMES`."""
    return np.concatenate([chunk.buttons, chunk.j_left, chunk.j_right], axis=1)


def _plain_array(name: str, value: object) -> object:
    return array_of(name, value.shape, value.dtype, value.data) if isinstance(value, Array) else value


def _parts(previous: Array) -> dict[str, object]:
    """Return the parts of rows that are in the form of `actions`."""
    rows = array_of("previous", previous.shape, previous.dtype, previous.data)
    if rows.ndim != 2 or rows.shape[1] != ACTION_WIDTH:
        raise RequestError(
            f"previous has shape {rows.shape}; send (n, {ACTION_WIDTH}), as the actions of a reply"
        )
    buttons, left, right = np.split(rows, np.cumsum([len(BUTTONS), CHUNK_WIDTHS["j_left"]]), axis=1)
    return {"buttons": buttons, "j_left": left, "j_right": right}


def _array(array: NDArray[np.float32]) -> dict[bytes, object]:
    contiguous = np.ascontiguousarray(array, dtype="<f4")
    return {b"__ndarray__": True, b"data": contiguous.tobytes(), b"dtype": "<f4", b"shape": array.shape}


def _read(data: bytes) -> dict[Any, object]:
    fields = read_msgpack(data, _LIMITS, "the observation", "send one map", _value)
    if not isinstance(fields, dict):
        raise RequestError(f"an observation is a map of names to values, not {describe(fields)}")
    return fields


def _value(fields: dict[Any, Any]) -> object:
    """Return a map's value: an array, a numpy scalar, or the map itself."""
    if b"__ndarray__" in fields:
        return Array(fields.get(b"dtype"), fields.get(b"shape"), fields.get(b"data"))
    if b"__npgeneric__" in fields:
        return fields.get(b"data")
    return fields


def _image(fields: dict[Any, object]) -> Image:
    """Return the observation's picture: `image`, else one whose name ends with it, else the only one."""
    if _NAME_OF_PICTURE in fields:
        return _picture(_NAME_OF_PICTURE, fields[_NAME_OF_PICTURE])
    named = dict(_leaves(fields))
    found = [name for name in named if name.replace(".", "/").rpartition("/")[2] == _NAME_OF_PICTURE]
    if not found:
        found = [name for name, value in named.items() if isinstance(value, Array) and value.is_picture()]
    if len(found) == 1:
        return _picture(found[0], named[found[0]])
    if found:
        raise ImageError(
            f"the observation has {len(found)} pictures ({listed(list(map(describe, found)))}): {_WANTED}"
        )
    shown = listed([describe(name) for name in named])
    raise ImageError(
        f"the observation has no picture, only {shown}: {_WANTED}"
        if named
        else f"the observation has nothing in it: {_WANTED}"
    )


def _leaves(fields: Mapping[Any, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value with its name; a map in a map joins both names with a slash."""
    for key, value in fields.items():
        name = f"{above}{key}" if isinstance(key, str) else f"{above}{key!r}"
        if isinstance(value, dict):
            yield from _leaves(value, f"{name}/")
        else:
            yield name, value


def _picture(name: str, value: object) -> Image:
    if isinstance(value, bytes):
        return ImageFile(value)
    if not isinstance(value, Array):
        raise ImageError(f"{describe(name)} is {describe(value)}: {_WANTED}")
    dtype, shape, data = value.dtype, value.shape, value.data
    if not isinstance(dtype, str) or dtype not in _UINT8:
        raise ImageError(f"{describe(name)} has dtype {describe(dtype)}: {_WANTED}")
    if not isinstance(data, bytes):
        raise ImageError(f"the data of {describe(name)} is {describe(data)}: {_WANTED}")
    sizes = _sizes(name, shape)
    if prod(sizes) != len(data):
        raise ImageError(
            f"{describe(name)} of shape {sizes} needs {prod(sizes)} bytes, not {len(data)}: {_WANTED}"
        )
    if sizes == FRAME_SHAPE:
        return RawFrame(data)
    pixels = np.frombuffer(data, np.uint8).reshape(sizes)
    if len(sizes) == 3 and sizes[0] == 3 and sizes[2] not in (3, 4):
        return Pixels(np.moveaxis(pixels, 0, 2))
    return pixels_of(pixels)


def _sizes(name: str, shape: object) -> tuple[int, ...]:
    wanted = f"the shape of {describe(name)} must be a list of its sizes"
    if not isinstance(shape, list):
        raise ImageError(f"{wanted}, not {describe(shape)}: {_WANTED}")
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**31:
            raise ImageError(f"{wanted}, and {describe(size)} is not a size: {_WANTED}")
    if len(shape) not in (2, 3):
        raise ImageError(f"{describe(name)} has {len(shape)} dimensions: {_WANTED}")
    return tuple(cast(list[int], shape))
