"""The part that both commands share: flags, the progress line, the summary."""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from nitrogen_dataset.conversion import Counts, Problems, Recording, Writer, convert
from nitrogen_dataset.errors import DatasetError
from nitrogen_dataset.lerobot.writer import LeRobotWriter
from nitrogen_dataset.one_run import only_run_in
from nitrogen_dataset.rerun_writer import RerunWriter

_BETWEEN_LINES_S = 0.5
_INTERRUPTED = 130
_INTERRUPTED_SENTENCE = "interrupted: the data set can be used as it is, and the same command goes on"
_MAX_LISTED_GAMES = 10


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the output and the flags that every command has."""
    parser.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="the data set's folder; the command adds to a data set that is there",
    )
    parser.add_argument(
        "--format",
        choices=("lerobot", "rerun"),
        default="lerobot",
        help="lerobot: a LeRobot data set (v3.0) to train with; rerun: Rerun files to look at (lerobot)",
    )
    parser.add_argument(
        "--task", metavar="TEXT", help="the game's name, instead of the one in the recordings"
    )
    parser.add_argument(
        "--lossless",
        action="store_true",
        help="lerobot: keep each pixel exactly; this takes several times the space",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first recording that cannot be read, instead of leaving it out",
    )


def run(
    arguments: argparse.Namespace, program: str, recordings: Callable[[Problems], Iterable[Recording]]
) -> int:
    """Make the data set; return 0, or after a sentence on stderr 1, or 130 when it was interrupted.

    Args:
        arguments: the parsed flags.
        program: its name, for the help.
        recordings: returns what is to be converted; it notes what it has to leave out.
    """

    def say(sentence: str) -> None:
        sys.stderr.write(f"{_CLEAR if sys.stderr.isatty() else ''}{program}: {sentence}\n")

    try:
        if arguments.lossless and arguments.format == "rerun":
            say("--lossless has no effect on Rerun files: leave it out")
            return 1
        problems = Problems(say, is_strict=arguments.strict)
        found = recordings(problems)
        line = _ProgressLine()
        with only_run_in(arguments.out), _stopped_by_signals() as stop:
            writer = _writer(arguments)
            counts = convert(found, writer, problems, stop, line.show)
        line.clear()
    except KeyboardInterrupt:
        say(_INTERRUPTED_SENTENCE)
        return _INTERRUPTED
    except DatasetError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(
            f"{arguments.out} cannot be written: {error}. Make room there, or give another folder; the same "
            "command then goes on after the last whole episode"
        )
        return 1
    if problems.ticks_without_picture:
        say(f"ticks left out because they have no picture: {problems.ticks_without_picture}")
    if problems.recordings:
        say(f"recordings left out, as a whole or from the damage on: {problems.recordings}")
    sys.stdout.write(f"{arguments.out}: {_summary(counts)}\n")
    if stop.is_set():
        say(_INTERRUPTED_SENTENCE)
        return _INTERRUPTED
    return 0 if counts.episodes or writer.taken else _nothing(say)


def _nothing(say: Callable[[str], None]) -> int:
    say("no recording has a picture together with what was pressed")
    return 1


def _writer(arguments: argparse.Namespace) -> Writer:
    if arguments.format == "rerun":
        return RerunWriter(arguments.out)
    return LeRobotWriter(arguments.out, is_lossless=arguments.lossless)


def _summary(counts: Counts) -> str:
    by_human = f", {counts.by_human} of them by a human" if counts.by_human else ""
    shown = ", ".join(sorted(counts.tasks)[:_MAX_LISTED_GAMES])
    rest = ", ..." if len(counts.tasks) > _MAX_LISTED_GAMES else ""
    games = f"; games: {shown}{rest}" if counts.tasks else ""
    return (
        f"added {_counted(counts.episodes, 'episode')}, {_counted(counts.frames, 'frame')}{by_human}{games}"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


_CLEAR = "\r\x1b[K"


class _ProgressLine:
    """One line on stderr that is kept up to date; none where that is not a terminal."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._began = self._last = time.monotonic()

    def show(self, counts: Counts) -> None:
        """Show how far it is, twice a second."""
        now = time.monotonic()
        if not self._is_shown or now - self._last < _BETWEEN_LINES_S:
            return
        self._last = now
        rate = counts.frames / (now - self._began)
        sys.stderr.write(f"{_CLEAR}{counts.episodes} episodes, {counts.frames} frames, {rate:.0f}/s")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leave the line empty."""
        if self._is_shown:
            sys.stderr.write(_CLEAR)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or a request to end sets; a second one interrupts at once."""
    stop = threading.Event()

    def set_stop(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, set_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
