"""Standard output and error that print every text, whatever the terminal's, file's or locale's encoding."""

import io
import sys


def print_every_text() -> None:
    """Have characters that the encoding lacks, and file names that are not text, written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        # Not when there is none (pythonw), nor when somebody's own object stands there.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
