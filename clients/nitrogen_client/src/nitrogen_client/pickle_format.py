"""Requests and replies as pickles, for servers that know nothing else (the reference's, and its forks)."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nitrogen_client.errors import ProtocolError
from nitrogen_client.images import Image, ImageFile, decoded
from nitrogen_client.pickle_reader import read_pickle

# The newest that has no frames, whose lengths would have to be told before their content.
_PROTOCOL = 3


def encode(fields: dict[str, object], image: Image | None) -> bytes:
    """Return a request's bytes, which load under numpy 1.x and 2.x; files are decoded, by Pillow.

    Raises:
        UnsupportedError: an image file cannot be decoded here, or has to be resized as old servers do not.
        ImageError: the bytes are not an image file.
    """
    whole = dict(fields)
    if image is not None:
        pixels = decoded(image) if isinstance(image, ImageFile) else image
        whole["image"] = _rgb(pixels.array)
    return b"\x80\x03" + _value(whole) + b"."


def decode(payload: bytes) -> dict[str, Any]:
    """Return a reply's fields; nothing in the pickle is called.

    Raises:
        ProtocolError: the reply is torn, malformed, no dict, or names what no reply needs.
    """
    fields = read_pickle(payload)
    if not isinstance(fields, dict):
        raise ProtocolError(f"the reply is a {type(fields).__name__}, not a dict")
    return fields


def _value(value: object) -> bytes:
    """Return the opcodes that push a plain value, or a dict of such values and arrays."""
    if isinstance(value, dict):
        return b"}" + b"".join(_value(name) + _value(item) + b"s" for name, item in value.items())
    if isinstance(value, np.ndarray):
        return _array(value)
    # Without the two bytes of PROTO before it and the STOP behind it.
    return pickle.dumps(value, _PROTOCOL)[2:-1]


def _rgb(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W, 3) pixels, the only ones that the reference's server takes; others end its service."""
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[:, :, :3]


def _array(array: NDArray[Any]) -> bytes:
    """Return the opcodes that push an array of numbers, row-major.

    numpy 2 would name `numpy._core.multiarray`, which numpy 1 cannot load; all load `numpy.core.multiarray`.
    """
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    empty = reconstruct + _value((0,)) + _value(b"b") + b"\x87R"
    order, kind = array.dtype.str[0], array.dtype.str[1:]
    dtype = b"cnumpy\ndtype\n" + _value((kind, False, True)) + b"R" + _value((3, order, *_NO_FIELDS)) + b"b"
    state = b"(" + _value(1) + _value(array.shape) + dtype + _value(False) + _value(array.tobytes()) + b"tb"
    return empty + state


_NO_FIELDS = (None, None, None, -1, -1, 0)
