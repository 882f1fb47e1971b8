"""Uses all of both clients against a server, in whatever Python, numpy and pyzmq runs this file.

    python everything.py PORT reference|gateway

Prints "all works" and the versions; whatever does not work is an exception. Nothing but the client and what
it needs is imported.
"""

from __future__ import annotations

import asyncio
import platform
import sys

import msgpack
import nitrogen_client
import numpy as np
import zmq
from nitrogen_client import AsyncModelClient, ModelClient

# The timed model's answer: the newest frame's first byte in j_right; the reference: in buttons.
_BYTE = 40


def check(prediction: nitrogen_client.Prediction, kind: str) -> None:
    """Raise unless the actions are those for the frame."""
    shapes = [(name, array.shape, array.dtype.name) for name, array in prediction.items()]
    wanted = [("j_left", (18, 2)), ("j_right", (18, 2)), ("buttons", (18, 21))]
    assert shapes == [(name, shape, "float32") for name, shape in wanted], shapes
    told = prediction["buttons"][0, 0] if kind == "reference" else prediction["j_right"][0, 0] * 255
    assert round(float(told)) == _BYTE, told
    prediction["buttons"][0, 0] = 1.0


def frames() -> list[np.ndarray]:
    """Return frames of several kinds."""
    whole = np.full((256, 256, 3), _BYTE, np.uint8)
    return [whole, whole[::2, ::-1], np.asfortranarray(whole)]


def use_sync(port: int, kind: str, protocol: str) -> None:
    """Use the sync client."""
    with ModelClient("127.0.0.1", port, timeout_s=20, protocol=protocol, timing=True) as client:
        client.reset()
        assert client.info()["action_downsample_ratio"] == 1
        for frame in frames():
            prediction = client.predict(frame)
            check(prediction, kind)
            assert (prediction.timing is None) == (kind == "reference")
        if kind == "gateway":
            check(client.predict(frames()[0], seed=np.int64(3), game=2), kind)
            try:
                client.predict(frames()[0], game="Tetris")
            except nitrogen_client.BadRequestError:
                return
            except nitrogen_client.ServerError:
                # An old server does not tell whose fault it was, and by pickle a gateway might be one.
                assert protocol == "pickle"
                return
            raise AssertionError("an unknown game was taken")


async def use_async(port: int, kind: str, protocol: str) -> None:
    """Use the asyncio client."""
    async with AsyncModelClient("127.0.0.1", port, timeout_s=20, protocol=protocol) as client:
        await client.reset()
        assert (await client.info())["action_downsample_ratio"] == 1
        for prediction in await asyncio.gather(*(client.predict(frame) for frame in frames())):
            check(prediction, kind)


def main() -> None:
    """Use both clients in every format that the server knows."""
    port, kind = int(sys.argv[1]), sys.argv[2]
    for protocol in ("auto", "pickle") if kind == "reference" else ("auto", "msgpack", "pickle"):
        use_sync(port, kind, protocol)
        asyncio.run(use_async(port, kind, protocol))
    versions = [platform.python_version(), np.__version__, zmq.__version__, msgpack.version]
    sys.stdout.write(f"all works {versions}\n")


if __name__ == "__main__":
    main()
