"""Requests and replies as msgpack, which NitroGen gateways speak: plain values, in which nothing can run."""

from __future__ import annotations

from math import prod
from typing import Any, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from nitrogen_client.errors import ArgumentError, ProtocolError
from nitrogen_client.images import Image, ImageFile

_MAX_SHOWN = 200
_MAX_DIMENSIONS = 8
_FIRST_BYTES = frozenset(bytes([byte]) for byte in (*range(0x81, 0x90), 0xDE, 0xDF))
_DTYPES = frozenset({"float32", "float64", "float16", "uint8", "int32", "int64"})


def is_msgpack(payload: bytes) -> bool:
    """Return whether a reply is a msgpack map, by its first byte."""
    return payload[:1] in _FIRST_BYTES


def encode(fields: dict[str, object], image: Image | None) -> bytes:
    """Return a request's bytes.

    Raises:
        ArgumentError: a field does not fit into msgpack.
    """
    whole = fields if image is None else {**fields, "image": _image_fields(image)}
    try:
        return cast(bytes, msgpack.packb(whole, default=_more))
    except (OverflowError, ValueError) as error:
        raise ArgumentError(
            f"one of {', '.join(fields)} cannot be sent as msgpack ({str(error)[:_MAX_SHOWN]}): integers "
            "must be below 2**64, and texts valid Unicode"
        ) from error


def decode(payload: bytes) -> dict[str, Any]:
    """Return a reply's fields, with arrays in `pred`.

    Raises:
        ProtocolError: the reply is torn, malformed or no map.
    """
    try:
        fields = msgpack.unpackb(payload, raw=False, strict_map_key=True, ext_hook=_refuse_extension)
    except Exception as error:  # msgpack raises ValueError, its own errors, and at its limits others
        raise ProtocolError(f"the reply is not msgpack ({str(error)[:_MAX_SHOWN]})") from error
    if not isinstance(fields, dict):
        raise ProtocolError(f"the reply is a {type(fields).__name__}, not a map")
    if isinstance(fields.get("pred"), dict):
        fields["pred"] = {name: _array(name, value) for name, value in fields["pred"].items()}
    return fields


def _image_fields(image: Image) -> dict[str, object]:
    if isinstance(image, ImageFile):
        fields: dict[str, object] = {"file": image.data}
        if image.resize_mode is not None:
            fields["resize_mode"] = image.resize_mode
        return fields
    return _array_fields(image.array)


def _more(value: object) -> dict[str, object]:
    """Return what stands for a value that msgpack does not know itself."""
    if not isinstance(value, np.ndarray):
        raise OverflowError(f"a value of type {type(value).__name__}")
    return _array_fields(value)


def _array_fields(array: NDArray[Any]) -> dict[str, object]:
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {"shape": list(array.shape), "dtype": array.dtype.name, "data": little_endian.tobytes()}


def _refuse_extension(code: int, data: bytes) -> object:
    raise ValueError(f"an extension type ({code}, {len(data)} bytes)")


def _array(name: str, value: object) -> NDArray[Any]:
    fields = value if isinstance(value, dict) else {}
    shape, dtype, data = fields.get("shape"), fields.get("dtype"), fields.get("data")
    is_known = isinstance(dtype, str) and dtype in _DTYPES
    if not isinstance(shape, list) or not is_known or not isinstance(data, bytes):
        raise ProtocolError(f"the reply's {name!r:.60} is not an array of shape, dtype and data")
    stored = np.dtype(dtype).newbyteorder("<")
    are_sizes = all(type(size) is int and size >= 0 for size in shape)
    # Looked at first: the product of many large sizes would take too long.
    if not are_sizes or len(shape) > _MAX_DIMENSIONS or prod(shape) * stored.itemsize != len(data):
        raise ProtocolError(f"the reply's {name!r:.60} has shape {shape!r:.60} and {len(data)} bytes")
    try:
        array = np.frombuffer(data, stored).reshape(shape)
    except (OverflowError, ValueError):  # without elements, but with sizes that numpy does not take
        raise ProtocolError(f"the reply's {name!r:.60} has shape {shape!r:.60}") from None
    # A copy, so that it can be written to, in this machine's byte order.
    return array.astype(dtype)
