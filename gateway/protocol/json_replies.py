"""Replies as JSON, for both dialects of port 5556: compact, short, in numbers that the Lua agent reads."""

import json
from functools import cache

import numpy as np
import orjson

from gateway.protocol.messages import ActionChunk, Reply, Timing

MAX_HORIZON = 52  # 71 + 76 * 52 = 4023 bytes: the Lua agent reads 4,096 once
MAX_ERROR_BYTES = 1399  # with a newline, one Ethernet segment


def reply_json(reply: Reply) -> bytes:
    """The reply as a JSON object, without blanks and newlines between its parts.

    A chunk's object has at most 70 + 76 x T bytes (1,438 for T = 18): the deployed Lua agent reads 4,096
    bytes once and takes no exponents. Longer horizons than MAX_HORIZON become an error; errors are cut to
    MAX_ERROR_BYTES.
    """
    if reply.error is not None:
        return _error(reply.error)
    parts = [b'{"status":"ok"']
    if reply.chunk is not None:
        horizon = len(reply.chunk.buttons)
        if horizon > MAX_HORIZON:
            return _error(
                f"the model's action horizon of {horizon} steps exceeds the {MAX_HORIZON} that this port "
                "can answer with; use port 5555"
            )
        parts.append(b',"pred":' + _pred(reply.chunk) + b',"repeat":1')
    elif reply.info is not None:
        parts.append(b',"info":' + orjson.dumps(dict(reply.info)))
    if reply.timing is not None:
        parts.append(b',"timing":' + _timing(reply.timing))
    return b"".join((*parts, b"}"))


def _pred(chunk: ActionChunk) -> bytes:
    sticks = (*chunk.j_left.ravel().tolist(), *chunk.j_right.ravel().tolist())
    text = (_sticks_template(len(chunk.buttons)) % sticks).replace("-0.000", "0.000")
    buttons = orjson.dumps(chunk.buttons.astype(np.int8, order="C"), option=orjson.OPT_SERIALIZE_NUMPY)
    return b'%b"buttons":%b}' % (text.encode(), buttons)


@cache
def _sticks_template(horizon: int) -> str:
    rows = ",".join(["[%.3f,%.3f]"] * horizon)
    return f'{{"j_left":[{rows}],"j_right":[{rows}],'


def _timing(timing: Timing) -> bytes:
    values = (timing.decode_ms, timing.infer_ms, timing.total_ms)
    return b'{"decode_ms":%.3f,"infer_ms":%.3f,"total_ms":%.3f}' % values


def _error(message: str) -> bytes:
    while True:
        text = b'{"status":"error","message":%b}' % json.dumps(message).encode()
        if len(text) <= MAX_ERROR_BYTES:
            return text
        # Escapes make a character up to 12 bytes long, so the cut is found by trying.
        message = message[: min(len(message) * 3 // 4, MAX_ERROR_BYTES)].removesuffix("...") + "..."
