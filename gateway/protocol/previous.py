"""The fields `previous` and `delay` of a predict: the rows that its chunk should fit, in every format."""

from collections.abc import Callable, Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from contract.gamepad import CHUNK_WIDTHS
from gateway.errors import RequestError
from gateway.protocol.messages import Previous
from gateway.protocol.whole_numbers import whole_number
from gateway.safe_text import describe

MAX_ROWS = 256  # more than any horizon; a model's own is known only with its facts

# Makes an array from a format's form of one, and returns anything else as it is; the name is for its error.
ArrayReader = Callable[[str, object], object]

_WANTED = 'previous is {"buttons": (n, 21), "j_left": (n, 2), "j_right": (n, 2)}, as in a reply'
_LOWEST = {"buttons": 0, "j_left": -1, "j_right": -1}
# As numpy writes them, in full and in short.
_DTYPES = frozenset(
    {"float32", "<f4", "float64", "<f8", "uint8", "|u1", "int8", "|i1", "int64", "<i8", "bool", "|b1"}
)
_NUMBERS = frozenset({bool, int, float})


def read_previous(
    fields: Mapping[str, object], read_array: ArrayReader = lambda _, value: value
) -> Previous | None:
    """Return the rows in a request's `fields`; None without any.

    Raises:
        RequestError: a value is invalid; the message names and shows it, bounded.
    """
    previous, delay = fields.get("previous"), fields.get("delay")
    if previous is None:
        if delay is not None:
            raise RequestError(f"delay is {describe(delay)}, but there is no previous: send both; {_WANTED}")
        return None
    if not isinstance(previous, Mapping):
        raise RequestError(f"previous is {describe(previous)}; {_WANTED}")
    rows = 0 if delay is None else whole_number(delay)
    if rows is None:
        raise RequestError(f"delay must be an integer from 0 to 2**53, in rows, not {describe(delay)}")
    parts = {name: _part(name, previous.get(name), read_array) for name in CHUNK_WIDTHS}
    lengths = {name: len(part) for name, part in parts.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{length} of {name}" for name, length in lengths.items())
        raise RequestError(f"previous has rows of unequal number: {shown}")
    count = lengths["buttons"]
    return Previous(**parts, delay=min(rows, count)) if count else None


def array_of(name: str, shape: object, dtype: object, data: object) -> NDArray[np.generic]:
    """Return the array of a shape, a dtype's name and little-endian bytes.

    Raises:
        RequestError: they do not fit, or the array is not accepted; the message calls it `name`.
    """
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise RequestError(f"{name} has dtype {describe(dtype)}; send float32")
    if not isinstance(data, bytes):
        raise RequestError(f"the data of {name} is {describe(data)}; send bytes")
    # One by one: the product of many large sizes would take too long.
    if not isinstance(shape, list) or len(shape) > 2 or not all(_is_size(size) for size in shape):
        raise RequestError(f"the shape of {name} must be a list of its two sizes, not {describe(shape)}")
    needed = prod(shape) * np.dtype(dtype).itemsize
    if needed != len(data):
        raise RequestError(f"{name} of shape {tuple(shape)} needs {needed} bytes, not {len(data)}")
    return np.frombuffer(data, dtype).reshape(shape)


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _part(name: str, given: object, read_array: ArrayReader) -> NDArray[np.float32]:
    """Return one part of the rows as a new array."""
    width, shown = CHUNK_WIDTHS[name], f"previous's {name}"
    value = read_array(shown, given)
    wrong = f"{shown} must be at most {MAX_ROWS} rows of {width} numbers, not"
    out_of_range = f"{shown} must be from {_LOWEST[name]} to 1, not"
    if isinstance(value, (list, tuple)):
        _check_lists(wrong, value, width)
        try:
            value = np.array(value, np.float64).reshape(len(value), width)
        except OverflowError:
            raise RequestError(f"{out_of_range} a number of hundreds of digits") from None
    if not isinstance(value, np.ndarray):
        raise RequestError(f"{wrong} {describe(value)}")
    if value.ndim != 2 or value.shape[1] != width or len(value) > MAX_ROWS:
        raise RequestError(f"{wrong} an array of shape {value.shape}")
    if value.dtype.kind not in "biuf":
        raise RequestError(f"{wrong} an array of dtype {value.dtype}")
    # NaN is not within them either.
    is_within = (value >= _LOWEST[name]) & (value <= 1)
    if not is_within.all():
        row, column = np.argwhere(~is_within)[0]
        raise RequestError(f"{out_of_range} {describe(value[row, column].item())} as in row {row}")
    return value.astype(np.float32)


def _check_lists(wrong: str, rows: list[object] | tuple[object, ...], width: int) -> None:
    """Raise the error of rows that are not lists of numbers: a pickle's lists may contain each other."""
    if len(rows) > MAX_ROWS:
        raise RequestError(f"{wrong} {len(rows)} of them")
    for number, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or len(row) != width:
            found = f"{len(row)} numbers" if isinstance(row, (list, tuple)) else describe(row)
            raise RequestError(f"{wrong} {found} as in row {number}")
        for value in row:
            if type(value) not in _NUMBERS:
                raise RequestError(f"{wrong} {describe(value)} as in row {number}")
