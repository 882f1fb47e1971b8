"""The signals that ask a player to stop."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Ctrl-C, a request to end, Ctrl-Break or the console's end on Windows, the terminal's end elsewhere.
_STOPPING = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")


def stopping_signals() -> list[signal.Signals]:
    """Return those that this system has, without the terminal's end where `nohup` asks to live through it."""
    numbers = [getattr(signal, name) for name in _STOPPING if hasattr(signal, name)]
    return [number for number in numbers if not _is_for_nohup(number)]


@contextmanager
def calling_when_stopped(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have each signal that asks to stop call `handler`, and put back what was there before."""
    before = {number: signal.signal(number, handler) for number in stopping_signals()}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _is_for_nohup(number: signal.Signals) -> bool:
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) == signal.SIG_IGN
