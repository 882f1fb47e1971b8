"""Port 5556's JSON: clients' objects, with bounded nesting, and replies short enough for the Lua agent."""

import json
import re
from functools import cache

import numpy as np
import orjson

from gateway.errors import RequestError
from gateway.protocol.messages import ActionChunk, Reply, Timing
from gateway.safe_text import describe

MAX_HORIZON = 52  # 71 + 76 * 52 = 4023 bytes: the Lua agent reads 4,096 once
MAX_ERROR_BYTES = 1399  # with a newline, one Ethernet segment

_SHOWN_CHARACTERS = 20
_DECODER = json.JSONDecoder()

# A whole string, so that brackets in it do not count, or one bracket.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def parse_object(text: bytes, max_depth: int) -> dict[str, object]:
    """Return the fields of a JSON object; if a name occurs twice, its last value counts.

    Raises:
        RequestError: the text is not UTF-8, not JSON, nested deeper than `max_depth`, or not an object.
    """
    try:
        decoded = text.decode()
        _check_depth(decoded, max_depth)
        fields = json.loads(decoded)
    except UnicodeDecodeError as error:
        raise RequestError(f"it is not UTF-8, at byte {error.start}") from error
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos : error.pos + _SHOWN_CHARACTERS]
        found = describe(rest) if rest else "its end"
        hint = "; texts need double quotes" if rest.startswith("'") else ""
        raise RequestError(f"it is not JSON, at character {error.pos}: {found}{hint}") from error
    except (ValueError, RecursionError) as error:
        raise RequestError("it has a number with too many digits") from error
    if not isinstance(fields, dict):
        raise RequestError(f"it must be a JSON object, not {describe(fields)}")
    return fields


def goes_on_after_object(text: bytes, max_depth: int) -> bool:
    """Return whether a text begins with a whole JSON object and goes on after it."""
    decoded = text.decode(errors="replace").lstrip()
    try:
        _check_depth(decoded, max_depth)
        fields, end = _DECODER.raw_decode(decoded)
    except (ValueError, RecursionError, RequestError):
        return False
    return isinstance(fields, dict) and bool(decoded[end:].strip())


def _check_depth(text: str, max_depth: int) -> None:
    if text.count("{") + text.count("[") <= max_depth:
        return
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        first = found[0][0]
        if first in "[{":
            depth += 1
            if depth > max_depth:
                raise RequestError(f"it is nested more than {max_depth} deep")
        elif first != '"':
            depth -= 1


def reply_line(reply: Reply) -> bytes:
    """Return the reply as one line of JSON with its newline: at most 71 + 76 x T bytes for a chunk."""
    return reply_json(reply) + b"\n"


def reply_json(reply: Reply, max_horizon: float = MAX_HORIZON) -> bytes:
    """Return the reply as a JSON object, without blanks and newlines between its parts.

    A chunk's object has at most 70 + 76 x T bytes (1,438 for T = 18): the deployed Lua agent reads 4,096
    bytes once and takes no exponents. Longer horizons than `max_horizon` become an error; errors are cut to
    MAX_ERROR_BYTES.
    """
    if reply.error is not None:
        return _error(reply.error)
    parts = [b'{"status":"ok"']
    if reply.chunk is not None:
        horizon = len(reply.chunk.buttons)
        if horizon > max_horizon:
            return _error(
                f"the model's action horizon of {horizon} steps exceeds the {max_horizon} that this port "
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
        # An escaped character has up to 12 bytes, so find the cut by trying.
        message = message[: min(len(message) * 3 // 4, MAX_ERROR_BYTES)].removesuffix("...") + "..."
