"""Standard output and error that print every text, whatever the encoding."""

import io
import sys


def print_every_text() -> None:
    """Print characters that the encoding lacks, and file names that are not text, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        # There may be none (pythonw), or somebody's own object.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
