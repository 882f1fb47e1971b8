"""Strangers' texts made safe for messages and logs: one bounded line without terminal escapes."""

import re
from collections.abc import Sequence

MAX_SHOWN_CHARACTERS = 60
MAX_LISTED_CHARACTERS = 1000

# Controls, line and paragraph separators, marks that reorder text, and halves of surrogate pairs.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """Return a text in which whatever could end a line or control a terminal is escaped."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shortened(text: str, max_characters: int) -> str:
    """Return a text, or its beginning and three dots if it is longer."""
    return text if len(text) <= max_characters else f"{text[:max_characters]}..."


def describe(value: object) -> str:
    """Return a short text for a value of unknown origin; containers are named, never printed."""
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 64 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        shown = repr(value[:MAX_SHOWN_CHARACTERS])
        return shown if len(value) <= MAX_SHOWN_CHARACTERS else f"{shown}... ({len(value)} characters)"
    return f"a {type(value).__name__}"


def listed(entries: Sequence[str], after_cut: str = "") -> str:
    """Return as many entries as fit into an error message, then how many are left out and `after_cut`."""
    room = MAX_LISTED_CHARACTERS
    for index, entry in enumerate(entries):
        room -= len(entry) + 2
        if room < 0:
            return f"{', '.join(entries[:index])} and {len(entries) - index} more{after_cut}"
    return ", ".join(entries) or "none at this time"
