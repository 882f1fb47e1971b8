"""Port 5557's observations: any bytes are a request or a refusal, and its picture a frame or a refusal."""

import msgpack
import numpy as np

from contract.gamepad import CHUNK_WIDTHS
from gateway.errors import ImageError, RequestError
from gateway.images import as_frame
from gateway.protocol.messages import Reply, Request
from gateway.protocol.web.openpi import PolicyMessages

MAX_BYTES = 1024


def _array(shape: list[int], dtype: str, data: bytes) -> dict[bytes, object]:
    return {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}


SEEDS = tuple(
    msgpack.packb(observation)
    for observation in (
        {"image": _array([4, 5, 3], "|u1", bytes(60)), "seed": 7, "prompt": "Celeste"},
        {"observation/image": _array([3, 4, 5], "|u1", bytes(60)), "game": None},
        {"observation": {"image": _array([4, 5], "|u1", bytes(20)), "state": _array([2], "<f4", bytes(8))}},
        {"cam": _array([2, 2, 3], "|u1", bytes(12)), "timing": True, "model": "nitrogen"},
        {"image": b"\x89PNG", "seed": {b"__npgeneric__": True, b"data": 7, b"dtype": "<i8"}},
        {"image": _array([1], "|O", b"x")},
        {"image": b"x", "previous": _array([1, 25], "<f4", bytes(100)), "delay": 1, "noise": {"tick": 3}},
        {"image": b"x", "previous": {name: [[0] * width] for name, width in CHUNK_WIDTHS.items()}, "tick": 3},
        {"__ctrl__": "episode_start"},
        {"__ctrl__": "dance"},
    )
)


def check(data: bytes) -> None:
    """Fail on any other exception, and on a refusal that repeats what it was sent at length."""
    (one,) = PolicyMessages(MAX_BYTES).receive(data, is_text=False)
    refusal = ""
    match one.event:
        case Request(image=image) if image is not None:
            try:
                assert len(as_frame(image, 2**16)) == np.prod((256, 256, 3))
            except ImageError as error:
                refusal = str(error)
        case RequestError() as error:
            refusal = str(error)
    assert len(refusal) < 2000
    assert one.encode(Reply(error=refusal or "x")).data
