"""Port 5555's msgpack messages: any bytes are a request or a refusal that is on the list."""

import msgpack

from contract.gamepad import CHUNK_WIDTHS
from gateway.errors import RequestError
from gateway.protocol.formats.msgpack_format import decode_request

MAX_BYTES = 1024

_PREVIOUS = {
    name: {"shape": [1, width], "dtype": "float32", "data": bytes(4 * width)}
    for name, width in CHUNK_WIDTHS.items()
}
SEEDS = tuple(
    msgpack.packb({"type": "predict", "image": {"file": b"x"}, **fields})
    for fields in ({"previous": _PREVIOUS, "delay": 1, "tick": 3}, {"noise": {"memory": 0.5}})
)


def check(data: bytes) -> None:
    """Fail on any other exception, and on a refusal that repeats what it was sent at length."""
    refusal = ""
    try:
        decode_request(data)
    except RequestError as error:
        refusal = str(error)
    assert len(refusal) < 900
