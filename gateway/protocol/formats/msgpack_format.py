"""Port 5555's messages for new clients: msgpack with raw frames to requests, replies to msgpack.

An array is a map {"shape": [...], "dtype": name, "data": bytes}, row-major and little-endian.
"""

from math import prod
from typing import Any, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from contract.tensors import FRAME_BYTES, FRAME_SHAPE
from gateway.errors import ImageError
from gateway.protocol.formats.bounded_msgpack import MsgpackLimits, read_msgpack
from gateway.protocol.formats.known_messages import MAX_BYTES, KnownMessages
from gateway.protocol.formats.request_fields import WANTED_PIXELS, fields_of, pixels_of, request_of
from gateway.protocol.messages import RESIZE_MODES, Image, ImageFile, RawFrame, Reply, Request, ResizeMode
from gateway.protocol.previous import array_of
from gateway.safe_text import describe

# Maps and arrays for the longest `played`, a map and three lists a row, and some more.
_LIMITS = MsgpackLimits(containers=300, items=64, text_bytes=4096)
_WANTED_MESSAGE = "send one map, packed whole, of plain values and bytes"
_WANTED = (
    f'{WANTED_PIXELS} as {{"shape": [H, W, 3], "dtype": "uint8", "data": bytes}}, '
    'or a file as {"file": bytes}'
)

# Before a frame's bytes: msgpack's "bin 32" and their number, the only way to write that many.
_FRAME_HEADER = b"\xc6" + FRAME_BYTES.to_bytes(4, "big")
_known = KnownMessages(RawFrame)


def decode_request(data: bytes | memoryview) -> Request:
    """Return the request in one msgpack message.

    An image becomes a raw frame, `Pixels` over the message's bytes, or an `ImageFile`.

    Raises:
        ImageError: the image's dtype, shape, size or resize mode is not accepted.
        RequestError: the message is torn, malformed, beyond a limit, or is not a request.
    """
    request = _known.request(data)
    if request is None:
        fields = read_msgpack(data, _LIMITS, "the message", _WANTED_MESSAGE)
        request = request_of(fields, _image, _array_of_map)
        if isinstance(request.image, RawFrame):
            _known.learn(data, _frame_at(data), request)
    return request


def _frame_at(data: bytes | memoryview) -> int:
    """Return where the only bytes of a frame's length begin in a message; -1 if that is not clear."""
    beginning = bytes(data[: MAX_BYTES + len(_FRAME_HEADER)])
    return beginning.find(_FRAME_HEADER) + len(_FRAME_HEADER) if beginning.count(_FRAME_HEADER) == 1 else -1


def encode_reply(reply: Reply) -> bytes:
    """Return the reply as a msgpack map; the chunk's arrays are maps of shape, dtype "float32" and data."""
    return cast(bytes, msgpack.packb(fields_of(reply, _array)))


def _image(fields: object) -> Image:
    if not isinstance(fields, dict):
        raise ImageError(f"the image is {describe(fields)}; {_WANTED}")
    if "file" in fields:
        return _file(fields)
    data, dtype = fields.get("data"), fields.get("dtype")
    if not isinstance(data, bytes):
        raise ImageError(f"the image's data is {describe(data)}; {_WANTED}")
    if dtype != "uint8":
        raise ImageError(f"the image's dtype is {describe(dtype)}; {_WANTED}")
    shape = _shape(fields.get("shape"))
    if prod(shape) != len(data):
        raise ImageError(f"an image of shape {shape} needs {prod(shape)} bytes, not {len(data)}; {_WANTED}")
    if shape == FRAME_SHAPE:
        return RawFrame(data)
    return pixels_of(np.frombuffer(data, np.uint8).reshape(shape))


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and 0 <= size < 2**31 for size in value):
        raise ImageError(f"the image's shape must be a list of its sizes, not {describe(value)}; {_WANTED}")
    if len(value) not in (2, 3):
        raise ImageError(f"the image's shape has {len(value)} sizes; {_WANTED}")
    return tuple(value)


def _file(fields: dict[Any, object]) -> ImageFile:
    file, mode = fields["file"], fields.get("resize_mode", "pad")
    if not isinstance(file, bytes):
        raise ImageError(f"the image's file is {describe(file)}; send a PNG, JPEG, BMP or WebP file's bytes")
    if not isinstance(mode, str) or mode not in RESIZE_MODES:
        allowed = ", ".join(sorted(RESIZE_MODES))
        raise ImageError(f"the image's resize_mode is {describe(mode)}; send one of {allowed}")
    return ImageFile(file, cast(ResizeMode, mode), may_be_raw=False)


def _array_of_map(name: str, value: object) -> object:
    if not isinstance(value, dict):
        return value
    return array_of(name, value.get("shape"), value.get("dtype"), value.get("data"))


def _array(array: NDArray[np.float32]) -> dict[str, object]:
    contiguous = np.ascontiguousarray(array, dtype="<f4")
    return {"shape": list(array.shape), "dtype": "float32", "data": contiguous.tobytes()}
