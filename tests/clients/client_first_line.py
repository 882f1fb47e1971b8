"""The first line that a process says, waited for no longer than a test should."""

import subprocess
import threading

_WITHIN_S = 60


def first_line(process: "subprocess.Popen[str]") -> str:
    """The next line of its standard output; of a process that says none in time, which is killed, nothing."""
    assert process.stdout is not None
    killing = threading.Timer(_WITHIN_S, process.kill)
    killing.start()
    try:
        return process.stdout.readline()
    finally:
        killing.cancel()
