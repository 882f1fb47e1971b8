"""What the command lines of export and of the standalone have in common. Free of torch."""

import argparse
import os
from pathlib import Path


def add_models_dir(parser: argparse.ArgumentParser) -> None:
    """Add `--models-dir`, whose default is NITROGEN_MODELS_DIR or `models`."""
    parser.add_argument(
        "--models-dir",
        metavar="DIR",
        type=Path,
        default=Path(os.environ.get("NITROGEN_MODELS_DIR") or "models"),
        help="where downloads are kept (NITROGEN_MODELS_DIR)",
    )


def positive(text: str) -> int:
    """A whole number above 0, as an argument's type.

    Raises:
        argparse.ArgumentTypeError: when it is none.
    """
    number = whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return number


def whole(text: str) -> int:
    """A whole number, 0 or more, as an argument's type.

    Raises:
        argparse.ArgumentTypeError: when it is none.
    """
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(text)
