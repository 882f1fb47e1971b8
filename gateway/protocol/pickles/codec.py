"""Port 5555's messages: pickles to requests, replies to pickles."""

import io
import pickle
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gateway.errors import ImageError, RequestError
from gateway.protocol.messages import Pixels, Reply, Request
from gateway.protocol.options import describe, read_options
from gateway.protocol.pickles.reader import read_pickle
from gateway.protocol.pickles.values import PickledImage

REPLY_PROTOCOL = 4

_TYPES = ("predict", "reset", "info")
_CHANNELS = {"RGB": 3, "RGBA": 4, "L": 1, "P": 1}
_WANTED = "send uint8 RGB pixels of shape (H, W, 3), or a PIL image of mode RGB"


def decode_request(data: bytes | memoryview) -> Request:
    """The request in one pickled message.

    An image becomes `Pixels` of shape (H, W, 3) uint8, possibly a read-only or strided view of `data`: grey
    is repeated over the channels, alpha is dropped, a palette is applied.

    Raises:
        UnsafePickleError: the pickle needs something outside the allow-list.
        ImageError: the image has a dtype, shape, mode or size that is not taken.
        RequestError: the pickle is torn or malformed, or is not a request.
    """
    fields = read_pickle(data)
    if not isinstance(fields, dict):
        raise RequestError(f'a request must be a dict with a "type", not {describe(fields)}')
    type_ = fields.get("type")
    if not isinstance(type_, str) or type_ not in _TYPES:
        raise RequestError(f'unknown request type {describe(type_)}; send "predict", "reset" or "info"')
    options = read_options(fields)
    image = _pixels(fields) if type_ == "predict" else None
    return options.request(type_, image)  # type: ignore[arg-type]  # in _TYPES


def encode_reply(reply: Reply) -> bytes:
    """The reply as a pickle that loads under numpy 1.24 to 2.x and Python 3.8 or later.

    The chunk's arrays arrive as writable float32 arrays of shapes (T, 2), (T, 2) and (T, 21).
    """
    message: dict[str, Any] = {"status": "ok"}
    if reply.error is not None:
        message = {"status": "error", "message": reply.error}
    elif reply.chunk is not None:
        chunk = reply.chunk
        pred = {"j_left": chunk.j_left, "j_right": chunk.j_right, "buttons": chunk.buttons}
        message |= {"pred": pred, "repeat": 1}
    elif reply.info is not None:
        message["info"] = dict(reply.info)
    if reply.timing is not None:
        timing = reply.timing
        message["timing"] = {
            "decode_ms": round(timing.decode_ms, 3),
            "infer_ms": round(timing.infer_ms, 3),
            "total_ms": round(timing.total_ms, 3),
        }
    buffer = io.BytesIO()
    _ReplyPickler(buffer, protocol=REPLY_PROTOCOL).dump(message)
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


def _pixels(fields: dict[Any, object]) -> Pixels:
    if "image" not in fields:
        raise ImageError(f"a predict request needs an image; {_WANTED}")
    image = fields["image"]
    if isinstance(image, PickledImage):
        image = _pixels_of_pil(image)
    if not isinstance(image, np.ndarray):
        raise ImageError(f"the image is {describe(image)}; {_WANTED}")
    if image.dtype != np.uint8:
        raise ImageError(f"the image has dtype {image.dtype} and shape {image.shape}; {_WANTED}")
    if image.size == 0:
        raise ImageError(f"the image has no pixels (shape {image.shape}); {_WANTED}")
    match image.shape:
        case (_, _, 3):
            return Pixels(image)
        case (_, _, 4):
            return Pixels(image[:, :, :3])
        case (_, _, 1) | (_, _):
            height, width = image.shape[:2]
            return Pixels(np.broadcast_to(image.reshape(height, width, 1), (height, width, 3)))
        case _:
            raise ImageError(f"the image has shape {image.shape}; {_WANTED}")


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
