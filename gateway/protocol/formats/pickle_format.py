"""Port 5555's older messages: pickles to requests, replies to pickles."""

import io
import pickle
from functools import cache
from typing import Any, cast

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from contract.gamepad import CHUNK_WIDTHS
from contract.tensors import FRAME_SHAPE
from gateway.errors import ImageError
from gateway.protocol.formats.known_messages import KnownMessages
from gateway.protocol.formats.pickles.reader import read_pickle
from gateway.protocol.formats.pickles.values import PickledImage
from gateway.protocol.formats.request_fields import WANTED_PIXELS, fields_of, pixels_of, request_of
from gateway.protocol.messages import ActionChunk, Pixels, Reply, Request
from gateway.safe_text import describe

REPLY_PROTOCOL = 4

_CHANNELS = {"RGB": 3, "RGBA": 4, "L": 1, "P": 1}
# Modes that only PIL can convert to RGB.
_CONVERTED = {"LA": 2, "PA": 2, "RGBX": 4, "RGBa": 4, "CMYK": 4, "YCbCr": 3, "HSV": 3}
# Mode "1" has eight pixels in a byte.
_MAX_BITS = 2**25

_known = KnownMessages(lambda frame: Pixels(np.frombuffer(frame, np.uint8).reshape(FRAME_SHAPE)))


def decode_request(data: bytes | memoryview) -> Request:
    """Return the request in one pickled message.

    An image becomes `Pixels` of shape (H, W, 3) uint8, possibly a read-only or strided view of `data`: grey
    is repeated over the channels, alpha is dropped, a palette is applied.

    Raises:
        UnsafePickleError: the pickle needs something outside the allow-list.
        ImageError: the image's dtype, shape, mode or size is not accepted.
        RequestError: the pickle is torn or malformed, or is not a request.
    """
    request = _known.request(data)
    if request is None:
        message = bytes(data)
        request = request_of(read_pickle(message), _pixels)
        image = request.image
        if isinstance(image, Pixels) and image.rgb.shape == FRAME_SHAPE and image.rgb.flags.c_contiguous:
            # They are outside the message if the pickle holds the pixels in another form.
            frame_at = _address(image.rgb) - _address(np.frombuffer(message, np.uint8))
            _known.learn(message, frame_at, request)
    return request


def encode_reply(reply: Reply) -> bytes:
    """Return the reply as a pickle that loads under numpy 1.24 to 2.x and Python 3.8 or later.

    The chunk's arrays arrive as writable float32 arrays of shapes (T, 2), (T, 2) and (T, 21).
    """
    if reply.chunk is None or reply.error is not None or reply.timing is not None:
        return _pickled(reply)
    first, second, third, end = _around_arrays(len(reply.chunk.buttons))
    left, right, buttons = map(
        _bytes_of_array, (reply.chunk.j_left, reply.chunk.j_right, reply.chunk.buttons)
    )
    return b"".join((first, left, second, right, third, buttons, end))


@cache
def _around_arrays(horizon: int) -> list[bytes]:
    """Return the bytes around the arrays' bytes in every pickled reply with a chunk of this horizon."""
    left, right, buttons = (
        np.full((horizon, width), number, np.float32) for number, width in enumerate(CHUNK_WIDTHS.values(), 1)
    )
    rest = _pickled(Reply(chunk=ActionChunk(left, right, buttons)))
    parts = []
    for array in (left, right, buttons):
        part, _, rest = rest.partition(array.tobytes())
        parts.append(part)
    return [*parts, rest]


def _pickled(reply: Reply) -> bytes:
    buffer = io.BytesIO()
    _ReplyPickler(buffer, protocol=REPLY_PROTOCOL).dump(fields_of(reply, lambda array: array))
    return buffer.getvalue()


def _address(array: NDArray[np.uint8]) -> int:
    return int(array.__array_interface__["data"][0])


def _bytes_of_array(array: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(array, dtype="<f4").tobytes()


class _ReplyPickler(pickle.Pickler):
    """Writes arrays as calls of the public `numpy.ndarray`.

    numpy 2.x itself would name `numpy._core.multiarray`, which numpy 1.x cannot load.
    """

    def reducer_override(self, value: object) -> Any:  # noqa: ANN401 # the base class's signature
        if isinstance(value, np.ndarray):
            # A bytearray, because an array over bytes would be read-only.
            return np.ndarray, (value.shape, "<f4", bytearray(_bytes_of_array(value)))
        return NotImplemented


def _pixels(image: object) -> Pixels:
    if isinstance(image, PickledImage):
        image = _pixels_of_pil(image)
    if not isinstance(image, np.ndarray):
        raise ImageError(f"the image is {describe(image)}; {WANTED_PIXELS}, or a PIL image of mode RGB")
    return pixels_of(image)


def _pixels_of_pil(image: PickledImage) -> NDArray[np.uint8]:
    """Return a PIL image's pixels: (H, W), (H, W, 3) or (H, W, 4) uint8."""
    width, height = image.size
    needed = _bytes_of(image.mode, width, height)
    if width <= 0 or height <= 0 or needed != len(image.data):
        raise ImageError(
            f"a PIL image of mode {image.mode} has size ({describe(width)}, {describe(height)}) "
            f"and {len(image.data)} bytes, which do not agree; send image.convert('RGB')"
        )
    if image.palette is None and image.mode in ("P", "PA"):
        raise ImageError(f"a PIL image of mode {image.mode} has no palette; send image.convert('RGB')")
    if image.mode in _CONVERTED:
        return _converted(image)
    if image.mode == "1":
        return _of_bits(image)
    flat = np.frombuffer(image.data, np.uint8)
    if image.palette is not None and image.mode == "P":
        colours = np.frombuffer(image.palette[:768].ljust(768, b"\0"), np.uint8).reshape(256, 3)
        return cast(NDArray[np.uint8], colours[flat].reshape(height, width, 3))
    channels = _CHANNELS[image.mode]
    return flat.reshape((height, width) if channels == 1 else (height, width, channels))


def _bytes_of(mode: str, width: int, height: int) -> int:
    """Return how many bytes the pixels of a PIL image have."""
    if mode == "1":
        return (width + 7) // 8 * height
    channels = _CHANNELS.get(mode) or _CONVERTED.get(mode)
    if channels is None:
        raise ImageError(
            f"a PIL image of mode {describe(mode)} is not accepted; bring its values to 0 to 255 and send "
            "image.convert('RGB')"
        )
    return width * height * channels


def _converted(image: PickledImage) -> NDArray[np.uint8]:
    """Return the pixels of a mode of `_CONVERTED`: (H, W, 3) uint8."""
    picture = PIL.Image.frombytes(image.mode, image.size, bytes(image.data))
    if image.palette is not None and image.mode == "PA":
        picture.putpalette(image.palette[:768])
    return np.asarray(picture.convert("RGB"))


def _of_bits(image: PickledImage) -> NDArray[np.uint8]:
    """Return the pixels of mode "1", whose rows fill whole bytes: (H, W) uint8, 0 or 255."""
    width, height = image.size
    if width * height > _MAX_BITS:
        raise ImageError(
            f"a PIL image of mode 1 has {width}x{height} pixels, more than {_MAX_BITS}; send a smaller one"
        )
    rows = np.frombuffer(image.data, np.uint8).reshape(height, -1)
    return np.unpackbits(rows, axis=1, count=width) * np.uint8(255)
