"""Clients at the wrong port: their first bytes tell what they are, and where they belong."""

import re
from typing import Literal

HEAD_BYTES = 10
"""This many bytes are always enough; libzmq sends no more before an answer."""

Port = Literal["TCP", "ZeroMQ"]

_TO_ZMQ = "belongs to the ZeroMQ port (--zmq-port, usually 5555)"
_BY_ZMQ = f"travels by ZeroMQ, and {_TO_ZMQ}"
_TO_TCP = "belongs to the TCP port (--tcp-port, usually 5556)"
_TO_WEB = (
    "belongs to the web port (--web-port, usually 5557), or, for health and metrics, to the HTTP port "
    "(--http-port, usually 8080)"
)
_TO_TRITON = "belongs to Triton's gRPC port (usually 8001)"
_NEEDS_ZMQ = "has to come by a ZeroMQ library"
_NEEDS_HEADER = 'needs its header before it: a line such as {"type": "predict", "len": 1234}'
_NEEDS_CERTIFICATE = "needs a gateway with --tcp-tls-cert: connect without TLS"
_NEEDS_CURVE = "is not understood here: ZeroMQ encrypts by CURVE keys (--curve-keys)"

# How it begins, what it looks like, and what to do about it at the TCP port and at the ZeroMQ port.
_STRANGERS: tuple[tuple[re.Pattern[bytes], str, str | None, str | None], ...] = tuple(
    (re.compile(pattern, re.DOTALL), *rest)
    for pattern, *rest in (
        (rb"\xff\0{3}.{4}.\x7f|\xff\0{7}.\x7f|\x01\0", "a ZeroMQ client's greeting", _TO_ZMQ, None),
        (rb"\x80[\x02-\x05]", "a pickle", _BY_ZMQ, _NEEDS_ZMQ),
        (rb"[\x81-\x8f\xde\xdf][\xa0-\xbf\xd9\0]", "msgpack", _BY_ZMQ, _NEEDS_ZMQ),
        (rb"\x16\x03[\0-\x04]|\x80.\x01\x03", "a TLS client's hello", _NEEDS_CERTIFICATE, _NEEDS_CURVE),
        (rb"PRI \* HTTP", "gRPC", _TO_TRITON, _TO_TRITON),
        (
            rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH) |HTTP/",
            *("HTTP", _TO_WEB, _TO_WEB),
        ),
        (rb"\x89PNG|\xff\xd8\xff|RIFF|GIF8|BM.{4}\0{4}", "a picture", _NEEDS_HEADER, _TO_TCP),
        (rb"\xff\xfe|\xfe\xff|\{\0|\0\{", "text in UTF-16", "has to be UTF-8", _TO_TCP),
        (rb"\x1f\x8b", "compressed data", "has to be sent as it is", None),
        (rb"(?:\xef\xbb\xbf)?\s*\{", "a line of JSON", None, _TO_TCP),
        (rb"[0-9]{1,9} ", "BizHawk", None, _TO_TCP),
    )
)


def stranger(head: bytes, port: Port) -> str | None:
    """Return what a stream beginning with `head` looks like, and where it belongs; None if unknown."""
    for pattern, what, at_tcp, at_zmq in _STRANGERS:
        advice = at_tcp if port == "TCP" else at_zmq
        if advice is not None and pattern.match(head):
            return f"what comes to this {port} port looks like {what}, which {advice}"
    return None
