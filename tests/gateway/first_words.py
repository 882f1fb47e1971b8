"""Waiting for the first lines of a process that a test has started, and not for ever."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WITHIN_S = 45


@contextmanager
def ends_if_silent(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """Kill the process when the block takes too long, so that reading its output comes to an end."""
    timer = threading.Timer(WITHIN_S, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
