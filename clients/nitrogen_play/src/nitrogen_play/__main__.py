"""`python -m nitrogen_play`, `nitrogen-play`."""

import io
import sys

from nitrogen_play.commands import run


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # there is none under pythonw
            stream.reconfigure(errors="backslashreplace")  # what the console's encoding lacks
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
