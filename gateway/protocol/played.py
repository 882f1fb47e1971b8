"""A client's report of what was pressed: the fields of a `played` request, the same in every format."""

from collections.abc import Mapping
from typing import cast, get_args

import numpy as np

from contract.gamepad import BUTTONS
from gateway.errors import RequestError
from gateway.protocol.messages import Hand, Played, PlayedRow
from gateway.protocol.whole_numbers import whole_number
from gateway.safe_text import describe

MAX_ROWS = 64
_HANDS = get_args(Hand)
_EXAMPLE = (
    'a played request is {"type": "played", "tick": 120, "rows": [{"by": "human", "buttons": [21 of 0 or 1], '
    '"j_left": [x, y], "j_right": [x, y]}, ...]}'
)


def read_played(fields: Mapping[str, object]) -> Played:
    """Return what was pressed, from a request's `fields`.

    Raises:
        RequestError: a field is missing or invalid; the message names the row and shows the value, bounded.
    """
    tick, rows = whole_number(fields.get("tick")), fields.get("rows")
    if tick is None:
        given = describe(fields.get("tick"))
        raise RequestError(f"tick must be an integer from 0 to 2**53, not {given}; {_EXAMPLE}")
    if not isinstance(rows, (list, tuple)) or not 1 <= len(rows) <= MAX_ROWS:
        found = f"{len(rows)} of them" if isinstance(rows, (list, tuple)) else describe(rows)
        raise RequestError(f"rows must be a list of 1 to {MAX_ROWS} rows, not {found}; {_EXAMPLE}")
    return Played(tick, tuple(_row(number, row) for number, row in enumerate(rows)))


def _row(number: int, row: object) -> PlayedRow:
    if not isinstance(row, Mapping):
        raise RequestError(f"row {number} is {describe(row)}; {_EXAMPLE}")
    by = row.get("by")
    if not isinstance(by, str) or by not in _HANDS:
        raise RequestError(f'row {number}: by must be "model" or "human", not {describe(by)}')
    pressed = _numbers(number, "buttons", row.get("buttons"), len(BUTTONS))
    if any(value not in (0, 1) for value in pressed):
        raise RequestError(f"row {number}: buttons must be 0 or 1 each")
    return PlayedRow(
        cast(Hand, by),
        tuple(map(int, pressed)),
        _stick(number, "j_left", row.get("j_left")),
        _stick(number, "j_right", row.get("j_right")),
    )


def _stick(number: int, name: str, value: object) -> tuple[float, float]:
    x, y = _numbers(number, name, value, 2)
    # NaN is not within them either.
    if not (abs(x) <= 1 and abs(y) <= 1):
        raise RequestError(f"row {number}: {name} must be two numbers from -1 to 1")
    return float(x), float(y)


def _numbers(number: int, name: str, values: object, length: int) -> list[int | float]:
    if isinstance(values, np.ndarray) and values.shape == (length,) and values.dtype.kind in "biuf":
        values = values.tolist()
    if not isinstance(values, (list, tuple)) or len(values) != length:
        found = f"{len(values)}" if isinstance(values, (list, tuple)) else describe(values)
        raise RequestError(f"row {number}: {name} must be a list of {length} numbers, not {found}")
    for value in values:
        if not isinstance(value, (int, float)):
            raise RequestError(f"row {number}: {name} must be numbers, not {describe(value)}")
    return list(values)
