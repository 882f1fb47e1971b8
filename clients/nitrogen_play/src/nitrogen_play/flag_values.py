"""Numbers as flags give them; a wrong one is a sentence."""

import argparse
from collections.abc import Callable

_LIMIT = 1_000_000


def port(text: str) -> int:
    """Return a port's number."""
    number = _integer(text)
    if not 0 < number < 65_536:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return number


def at_least(least: int) -> Callable[[str], int]:
    """Return a function that reads a whole number of at least `least`."""

    def count(text: str) -> int:
        number = _integer(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{text} is too small: give {least} or more")
        return number

    return count


def positive(text: str) -> float:
    """Return a number above 0 and below 1,000,000."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < _LIMIT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and below {_LIMIT}")
    return number


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
