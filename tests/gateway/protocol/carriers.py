"""A predict's fields through every format that has a place for them."""

import json
import pickle
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest

from contract.tensors import FRAME_BYTES, FRAME_SHAPE
from gateway.errors import RequestError
from gateway.protocol.formats.formats import format_of
from gateway.protocol.messages import Request
from gateway.protocol.tcp.json_stream import JsonStream
from gateway.protocol.web.openpi import PolicyMessages
from gateway.protocol.web.play import PlayMessages

# Makes a request of a predict's further fields; raises a RequestError that the format answers with.
Carrier = Callable[[dict[str, Any]], Request]

FRAME = bytes(FRAME_BYTES)


def by_line(fields: dict[str, Any]) -> Request:
    line = json.dumps({"type": "predict", **fields}, default=np.ndarray.tolist).encode()
    return requested(JsonStream().receive(line + b"\n" + FRAME)[0])


def by_web_socket(fields: dict[str, Any]) -> Request:
    messages = PlayMessages(max_header_bytes=2**16, max_header_depth=16, max_image_bytes=2**20)
    text = json.dumps({"type": "predict", "format": "rgb", **fields}, default=np.ndarray.tolist)
    assert messages.receive(text.encode(), is_text=True) == []
    return requested(messages.receive(FRAME, is_text=False)[0].event)


def by_msgpack(fields: dict[str, Any]) -> Request:
    image = {"shape": list(FRAME_SHAPE), "dtype": "uint8", "data": FRAME}
    data = msgpack.packb({"type": "predict", "image": image, **fields}, default=_map)
    return format_of(data).decode_request(data)


def by_pickle(fields: dict[str, Any]) -> Request:
    data = pickle.dumps({"type": "predict", "image": np.zeros(FRAME_SHAPE, np.uint8), **fields})
    return format_of(data).decode_request(data)


def by_openpi(fields: dict[str, Any]) -> Request:
    observation = {"image": np.zeros(FRAME_SHAPE, np.uint8), **fields}
    data = msgpack.packb(observation, default=_openpi_map)
    return requested(PolicyMessages(2**20).receive(data, is_text=False)[0].event)


CARRIERS = pytest.mark.parametrize(
    "predict", [by_line, by_web_socket, by_msgpack, by_pickle, by_openpi], ids=lambda carry: carry.__name__
)


def requested(event: object) -> Request:
    if isinstance(event, RequestError):
        raise event
    assert isinstance(event, Request)
    return event


def _map(array: np.ndarray[Any, Any]) -> dict[str, object]:
    return {"shape": list(array.shape), "dtype": array.dtype.name, "data": array.tobytes()}


def _openpi_map(array: np.ndarray[Any, Any]) -> dict[bytes, object]:
    data, dtype = array.tobytes(), array.dtype.str
    return {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": array.shape}
