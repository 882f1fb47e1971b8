"""The `played` request, which tells what was really pressed: a row for each of the game's ticks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nitrogen_client.errors import ArgumentError
from nitrogen_client.options import is_integer

MAX_ROWS = 64  # that a request tells of
Rows = Iterable[Mapping[str, Any]]

# The parts of a row, with how many numbers each has.
WIDTHS = {"buttons": 21, "j_left": 2, "j_right": 2}
_HANDS = ("model", "human")


def played_fields(tick: int, rows: Rows) -> dict[str, object]:
    """Return the request's fields, of plain values.

    Raises:
        ArgumentError: the tick or a row is invalid.
    """
    if not is_integer(tick) or tick < 0:
        raise ArgumentError(f"tick must be an integer of 0 or more; it is {tick!r}")
    plain = [_row(number, row) for number, row in enumerate(rows)]
    if not 1 <= len(plain) <= MAX_ROWS:
        raise ArgumentError(f"rows must be 1 to {MAX_ROWS} rows; they are {len(plain)}")
    return {"tick": int(tick), "rows": plain}


def _row(number: int, row: Mapping[str, Any]) -> dict[str, object]:
    by = row.get("by") if isinstance(row, Mapping) else None
    if not isinstance(by, str) or by not in _HANDS:
        raise ArgumentError(
            f'row {number} must be a dict whose "by" is "model" or "human"; it is {row!r:.200}'
        )
    plain: dict[str, object] = {"by": str(by)}
    for name, width in WIDTHS.items():
        try:
            values = np.asarray(row.get(name), np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (width,) or not np.all(np.abs(values) <= 1):
            raise ArgumentError(f"row {number}: {name} must be {width} numbers from -1 to 1")
        plain[name] = values.tolist()
    pressed = [int(value) for value in plain["buttons"]]  # type: ignore[attr-defined] # a list
    if pressed != plain["buttons"] or min(pressed) < 0:
        raise ArgumentError(f"row {number}: buttons must be 0 or 1 each")
    return {**plain, "buttons": pressed}
