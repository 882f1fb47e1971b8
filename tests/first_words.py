"""Waiting for lines of a process that a test has started, and not for ever."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_START_S = 45
_LINE_S = 60


@contextmanager
def ends_if_silent(process: "subprocess.Popen[Any]", within_s: float = _START_S) -> Iterator[None]:
    """Kill the process when the block takes too long, so that reading its output comes to an end."""
    timer = threading.Timer(within_s, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def next_line(process: "subprocess.Popen[str]") -> str:
    """The next line of its standard output; of a process that says none in time, which is killed, nothing."""
    assert process.stdout is not None
    with ends_if_silent(process, _LINE_S):
        return process.stdout.readline()
