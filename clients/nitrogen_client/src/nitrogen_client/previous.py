"""The rows that a predict's chunk continues, and its picture's tick, as fields of the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nitrogen_client.errors import ArgumentError
from nitrogen_client.options import is_integer
from nitrogen_client.played import WIDTHS

MAX_ROWS = 256  # that a request takes
Previous = Mapping[str, Any]

_LOWEST = {"buttons": 0, "j_left": -1, "j_right": -1}


def previous_fields(tick: int | None, previous: Previous | None, delay: int | None) -> dict[str, object]:
    """Return the request's fields; leave out None, and an empty list of rows.

    Raises:
        ArgumentError: a value is invalid.
    """
    for name, value in (("tick", tick), ("delay", delay)):
        if value is not None and (not is_integer(value) or value < 0):
            raise ArgumentError(f"{name} must be an integer of 0 or more, or None; it is {value!r:.100}")
    fields: dict[str, object] = {} if tick is None else {"tick": int(tick)}
    if previous is None:
        if delay is not None:
            raise ArgumentError(f"delay is {delay!r:.100} without previous: give both")
        return fields
    if not isinstance(previous, Mapping):
        raise ArgumentError(f"previous must be a dict of {', '.join(WIDTHS)}; it is {previous!r:.100}")
    rows = {name: _rows(name, previous.get(name)) for name in WIDTHS}
    lengths = {name: len(part) for name, part in rows.items()}
    if len(set(lengths.values())) > 1:
        raise ArgumentError(f"previous must have as many rows of each part; they are {lengths}")
    if lengths["buttons"]:
        fields.update(previous=rows, delay=0 if delay is None else int(delay))
    return fields


def _rows(name: str, given: object) -> NDArray[np.float32]:
    """Return one part of the rows, (n, width)."""
    width, lowest = WIDTHS[name], _LOWEST[name]
    try:
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite
            rows = np.asarray(given, np.float32)
    except (OverflowError, TypeError, ValueError):
        rows = np.empty((), np.float32)
    if rows.shape == (0,):  # a list without rows
        rows = rows.reshape(0, width)
    # NaN is not within them either.
    is_within = bool(((rows >= lowest) & (rows <= 1)).all())
    if rows.ndim != 2 or rows.shape[1] != width or len(rows) > MAX_ROWS or not is_within:
        raise ArgumentError(
            f"previous: {name} must be at most {MAX_ROWS} rows of {width} numbers from {lowest} to 1"
        )
    return rows
