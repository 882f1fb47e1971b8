"""Whole numbers from clients; some of their languages know only one kind of number."""

from numbers import Integral

MAX_WHOLE_NUMBER = 2**53  # the largest that every language's number holds


def whole_number(value: object) -> int | None:
    """Return an integer from 0 to `MAX_WHOLE_NUMBER`, 7.0 as well as 7; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, Integral) or isinstance(value, bool):
        return None
    number = int(value)
    return number if 0 <= number <= MAX_WHOLE_NUMBER else None
