"""What comes to port 5556 and is something else: told by its first bytes, with where it belongs."""

import re

HEAD_BYTES = 10
"""How many bytes are always enough to tell; libzmq sends no more before it is answered."""

_ZMQ_PORT = "belongs to the ZeroMQ port (--zmq-port, usually 5555)"
_PICTURE = 'needs its header before it: a line such as {"type": "predict", "len": 1234}'

# What it looks like, by how it begins, and what is to be done.
_STRANGERS: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), what, advice)
    for pattern, what, advice in (
        (rb"\xff\0{3}.{4}.\x7f|\xff\0{7}.\x7f|\x01\0", "a ZeroMQ client's greeting", _ZMQ_PORT),
        (rb"\x80[\x02-\x05]", "a pickle", f"travels by ZeroMQ, and {_ZMQ_PORT}"),
        (rb"[\x81-\x8f\xde\xdf][\xa0-\xbf\xd9\0]", "msgpack", f"travels by ZeroMQ, and {_ZMQ_PORT}"),
        (
            rb"\x16\x03[\0-\x04]|\x80.\x01\x03",
            "a TLS client's hello",
            "is understood where the gateway has --tcp-tls-cert: connect without TLS",
        ),
        (rb"PRI \* HTTP", "gRPC", "belongs to Triton's gRPC port (usually 8001)"),
        (
            rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH) |HTTP/",
            "HTTP",
            "belongs to the HTTP port (--http-port, usually 8080), which has health and metrics, not actions",
        ),
        (rb"\x89PNG|\xff\xd8\xff|RIFF|GIF8|BM.{4}\0{4}", "a picture", _PICTURE),
        (rb"\xff\xfe|\xfe\xff|\{\0|\0\{", "text in UTF-16", "has to be UTF-8"),
        (rb"\x1f\x8b", "compressed data", "has to be sent as it is"),
    )
)


def stranger(head: bytes) -> str | None:
    """What a stream looks like that begins with `head`, and where it belongs; None when that is not known."""
    for pattern, what, advice in _STRANGERS:
        if pattern.match(head):
            return f"what comes to this TCP port looks like {what}, which {advice}"
    return None
