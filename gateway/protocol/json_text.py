"""JSON objects of clients on port 5556, of a nesting that is bounded before they are parsed."""

import json
import re

from gateway.errors import RequestError
from gateway.safe_text import describe

_SHOWN_CHARACTERS = 20
_DECODER = json.JSONDecoder()

# A whole string, so that brackets within it do not count, or one bracket.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def parse_object(text: bytes, max_depth: int) -> dict[str, object]:
    """The fields of a JSON object; of a name that occurs twice the last value counts.

    Raises:
        RequestError: the text is not UTF-8, no JSON, nested deeper than `max_depth`, or no object.
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
        hint = "; texts stand in double quotes" if rest.startswith("'") else ""
        raise RequestError(f"it is not JSON, at character {error.pos}: {found}{hint}") from error
    except (ValueError, RecursionError) as error:
        raise RequestError("it holds a number of too many digits") from error
    if not isinstance(fields, dict):
        raise RequestError(f"it must be a JSON object, not {describe(fields)}")
    return fields


def goes_on_after_object(text: bytes, max_depth: int) -> bool:
    """Whether a text begins with a whole JSON object, and something else stands behind it."""
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
