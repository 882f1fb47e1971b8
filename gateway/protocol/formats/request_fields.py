"""Requests and replies as dicts of plain values, which pickles and msgpack both carry."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from contract.gamepad import CHUNK_WIDTHS
from gateway.errors import ImageError, RequestError
from gateway.protocol.messages import Image, Pixels, Reply, Request
from gateway.protocol.options import read_options, read_type
from gateway.protocol.played import read_played
from gateway.protocol.previous import ArrayReader
from gateway.safe_text import describe

WANTED_PIXELS = "send uint8 RGB pixels of shape (H, W, 3)"


def request_of(
    fields: object,
    read_image: Callable[[object], Image],
    read_array: ArrayReader = lambda _, value: value,
) -> Request:
    """Return the request that a message's value describes.

    Args:
        fields: the message's value.
        read_image: makes an image from the field "image".
        read_array: makes an array from the format's form of one.

    Raises:
        ImageError: there is no image, or `read_image` refused it.
        RequestError: the value is not a request, or an option is wrong.
    """
    if not isinstance(fields, dict):
        raise RequestError(f'a request must be a dict with a "type", not {describe(fields)}')
    type_ = read_type(fields)
    options = read_options(fields, type_, read_array)
    if type_ == "predict" and "image" not in fields:
        raise ImageError(f"a predict request needs an image; {WANTED_PIXELS}")
    image = read_image(fields["image"]) if type_ == "predict" else None
    played = read_played(fields) if type_ == "played" else None
    return options.request(type_, image, played)


def pixels_of(array: NDArray[np.generic]) -> Pixels:
    """Return an array's pixels as (H, W, 3) uint8: grey is repeated over the channels, alpha is dropped.

    The pixels are not copied; they may be a read-only or strided view.

    Raises:
        ImageError: the array has another dtype or shape, or no pixels.
    """
    if array.dtype != np.uint8:
        raise ImageError(f"the image has dtype {array.dtype} and shape {array.shape}; {WANTED_PIXELS}")
    if array.size == 0:
        raise ImageError(f"the image has no pixels (shape {array.shape}); {WANTED_PIXELS}")
    pixels = cast(NDArray[np.uint8], array)
    match pixels.shape:
        case (_, _, 3):
            return Pixels(pixels)
        case (_, _, 4):
            return Pixels(pixels[:, :, :3])
        case (_, _, 1) | (_, _):
            height, width = pixels.shape[:2]
            return Pixels(np.broadcast_to(pixels.reshape(height, width, 1), (height, width, 3)))
        case _:
            raise ImageError(f"the image has shape {array.shape}; {WANTED_PIXELS}")


def fields_of(reply: Reply, write_array: Callable[[NDArray[np.float32]], object]) -> dict[str, Any]:
    """Return a reply as a dict; `write_array` brings an array into the format's form."""
    if reply.error is not None:
        fields: dict[str, Any] = {"status": "error", "message": reply.error}
        if reply.cause is not None:
            fields["cause"] = reply.cause
    else:
        fields = {"status": "ok"}
        if reply.chunk is not None:
            fields["pred"] = {name: write_array(getattr(reply.chunk, name)) for name in CHUNK_WIDTHS}
            fields["repeat"] = 1
        elif reply.info is not None:
            fields["info"] = dict(reply.info)
    if reply.timing is not None:
        fields["timing"] = {name: round(took_ms, 3) for name, took_ms in asdict(reply.timing).items()}
    return fields
