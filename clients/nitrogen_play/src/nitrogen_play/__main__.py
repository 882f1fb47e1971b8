"""`python -m nitrogen_play`, `nitrogen-play`."""

import sys

from nitrogen_play.commands import run


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
