"""`nitrogen-gateway dataset`: recordings as a data set, to train with or to look at."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.commands.chosen_recordings import NoRecordingsError, add_flags, chosen_recordings, whole_number
from gateway.telemetry.recording_format import client_of

_MISSING = (
    "nitrogen-gateway dataset: the package nitrogen-dataset is missing ({problem}): in the project's folder, "
    "run {python} -m pip install ./clients/nitrogen_dataset\n"
)


def main(words: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    try:
        import nitrogen_dataset.command  # noqa: PLC0415 - a distribution of its own

        from gateway.commands.recorded_client import RecordedClient  # noqa: PLC0415 - needs it
    except ImportError as error:
        sys.stderr.write(_MISSING.format(problem=error, python=sys.executable))
        return 1
    parser = _parser()
    nitrogen_dataset.command.add_flags(parser)
    arguments = parser.parse_args(words)
    try:
        paths = chosen_recordings(arguments.folder, arguments.client)
    except NoRecordingsError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
    by_client: dict[str, list[Path]] = {}
    for path in paths:
        by_client.setdefault(client_of(path.name), []).append(path)
    clients = [
        RecordedClient(name, files, arguments.fps, arguments.task, arguments.rows)
        for name, files in by_client.items()
    ]
    return nitrogen_dataset.command.run(arguments, parser.prog, lambda _: clients)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nitrogen-gateway dataset",
        description="Turn what --record has written into a data set, to train with or to look at.",
    )
    add_flags(parser)
    parser.add_argument(
        "--fps",
        type=whole_number(240),
        default=60,
        metavar="N",
        help="the games' ticks per second (60)",
    )
    parser.add_argument(
        "--rows",
        type=whole_number(1000),
        metavar="N",
        help="rows of each chunk that count as pressed, if the client does not say what was (all)",
    )
    return parser
