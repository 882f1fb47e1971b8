"""Port 5555's older messages: pickles to requests, replies to pickles."""

import io
import pickle
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gateway.errors import ImageError
from gateway.protocol.messages import Pixels, Reply, Request
from gateway.protocol.options import describe
from gateway.protocol.pickles.reader import read_pickle
from gateway.protocol.pickles.values import PickledImage
from gateway.protocol.plain_values import WANTED_PIXELS, fields_of, pixels_of, request_of

REPLY_PROTOCOL = 4

_CHANNELS = {"RGB": 3, "RGBA": 4, "L": 1, "P": 1}


def decode_request(data: bytes | memoryview) -> Request:
    """The request in one pickled message.

    An image becomes `Pixels` of shape (H, W, 3) uint8, possibly a read-only or strided view of `data`: grey
    is repeated over the channels, alpha is dropped, a palette is applied.

    Raises:
        UnsafePickleError: the pickle needs something outside the allow-list.
        ImageError: the image has a dtype, shape, mode or size that is not taken.
        RequestError: the pickle is torn or malformed, or is not a request.
    """
    return request_of(read_pickle(data), _pixels)


def encode_reply(reply: Reply) -> bytes:
    """The reply as a pickle that loads under numpy 1.24 to 2.x and Python 3.8 or later.

    The chunk's arrays arrive as writable float32 arrays of shapes (T, 2), (T, 2) and (T, 21).
    """
    buffer = io.BytesIO()
    _ReplyPickler(buffer, protocol=REPLY_PROTOCOL).dump(fields_of(reply, _as_it_is))
    return buffer.getvalue()


class _ReplyPickler(pickle.Pickler):
    """Writes arrays as calls of the public `numpy.ndarray`.

    numpy's own way names `numpy._core.multiarray` when it is 2.x, which numpy 1.x cannot load.
    """

    def reducer_override(self, value: object) -> Any:  # noqa: ANN401 # the base class's signature
        if isinstance(value, np.ndarray):
            contiguous = np.ascontiguousarray(value, dtype="<f4")
            # A bytearray, because an array over bytes would be read-only.
            return np.ndarray, (value.shape, "<f4", bytearray(contiguous.data.cast("B")))
        return NotImplemented


def _as_it_is(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return array


def _pixels(image: object) -> Pixels:
    if isinstance(image, PickledImage):
        image = _pixels_of_pil(image)
    if not isinstance(image, np.ndarray):
        raise ImageError(f"the image is {describe(image)}; {WANTED_PIXELS}, or a PIL image of mode RGB")
    return pixels_of(image)


def _pixels_of_pil(image: PickledImage) -> NDArray[np.uint8]:
    """A PIL image's pixels: (H, W), (H, W, 3) or (H, W, 4) uint8."""
    channels = _CHANNELS.get(image.mode)
    if channels is None:
        raise ImageError(
            f"a PIL image of mode {describe(image.mode)} is not taken; send image.convert('RGB')"
        )
    width, height = image.size
    if width <= 0 or height <= 0 or width * height * channels != len(image.data):
        raise ImageError(
            f"a PIL image of mode {image.mode} has size ({describe(width)}, {describe(height)}) "
            f"and {len(image.data)} bytes, which do not agree; send image.convert('RGB')"
        )
    flat = np.frombuffer(image.data, np.uint8)
    if image.mode == "P":
        if image.palette is None:
            raise ImageError("a PIL image of mode P has no palette; send image.convert('RGB')")
        colours = np.frombuffer(image.palette[:768].ljust(768, b"\0"), np.uint8).reshape(256, 3)
        return cast(NDArray[np.uint8], colours[flat].reshape(height, width, 3))
    return flat.reshape((height, width) if channels == 1 else (height, width, channels))
