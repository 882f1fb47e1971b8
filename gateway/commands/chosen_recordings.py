"""The flags of commands that read recordings, and the recordings that they choose."""

import argparse
from collections.abc import Callable
from pathlib import Path

from command_line.paths import local_path
from gateway.safe_text import listed
from gateway.telemetry.recording_format import client_of, is_recording, safe_name


class NoRecordingsError(Exception):
    """There is nothing to read; the message says why and what to give."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the folder argument, and the flag that chooses a client."""
    parser.add_argument("folder", type=local_path, help="the folder that was given to --record")
    parser.add_argument(
        "--client",
        help="only this client's predicts: its name, or the beginning of it, as in the files' names",
    )


def whole_number(most: int) -> Callable[[str], int]:
    """Return an argument's type: a whole number from 1 to `most`."""

    def parsed(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
        return int(text)

    return parsed


def chosen_recordings(folder: Path, client: str | None) -> list[Path]:
    """Return the recordings in a folder, the oldest first.

    Args:
        folder: the one that --record names.
        client: only those of clients whose names begin with this; None for all.

    Raises:
        NoRecordingsError: the folder is missing, or has no such recordings.
    """
    if not folder.is_dir():
        raise NoRecordingsError(f"{str(folder)!r} is not a folder: give the one that --record names")
    names = sorted(path.name for path in folder.iterdir() if is_recording(path.name))
    if not names:
        raise NoRecordingsError(
            f"there are no recordings in {str(folder)!r}: give the folder that --record names"
        )
    chosen = names
    if client is not None:
        chosen = [name for name in names if client_of(name).startswith(safe_name(client))]
    if not chosen:
        clients = listed(sorted({client_of(name) for name in names}))
        raise NoRecordingsError(f"there are no recordings of a client {client!r}, only of: {clients}")
    return [folder / name for name in chosen]
