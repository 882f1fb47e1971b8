"""Waiting for lines of a process that a test has started, and not forever."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.patience import WITHIN_S


@contextmanager
def ends_if_silent(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """Kill the process when the block takes too long, so that reading its output comes to an end."""
    timer = threading.Timer(WITHIN_S, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def next_line(process: "subprocess.Popen[str]") -> str:
    """The next line of its standard output; of a process that says none in time, which is killed, nothing."""
    assert process.stdout is not None
    with ends_if_silent(process):
        return process.stdout.readline()
