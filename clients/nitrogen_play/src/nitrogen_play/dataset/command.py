"""`nitrogen-play dataset RECORDING... OUT`."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nitrogen_dataset.command import add_flags, run
from nitrogen_dataset.conversion import Problems, Recording
from nitrogen_dataset.errors import DatasetError, RecordingError

from nitrogen_play.dataset.recorded_game import recorded_game
from nitrogen_play.frames import model_frame
from nitrogen_play.interfaces import Picture

_ACTIONS = "*_ACTIONS.json*"
_SENTENCE = "Make a data set of recordings: to train with, or to look at."


def main(words: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser("nitrogen-play dataset", description=_SENTENCE)
    parser.add_argument(
        "recordings",
        nargs="+",
        type=Path,
        metavar="RECORDING",
        help="NNNN_ACTIONS.jsonl, with its NNNN_CLEAN.mp4 beside it, or a folder of recordings",
    )
    parser.add_argument(
        "--model-frames",
        choices=("pad", "crop", "stretch"),
        metavar="MODE",
        help="make pictures 256x256, as the model sees them (keep the film's size)",
    )
    add_flags(parser)
    arguments = parser.parse_args(words)
    mode: str | None = arguments.model_frames

    def resize(picture: Picture) -> Picture:
        return picture if mode is None else model_frame(picture, mode)

    return run(
        arguments,
        "nitrogen-play dataset",
        lambda problems: _recorded(_files(arguments.recordings), arguments.task, resize, problems),
    )


def _files(named: Sequence[Path]) -> list[Path]:
    """Return the files of actions that are named, and those in the folders that are, each once.

    Raises:
        DatasetError: one does not exist, or there are none in a folder.
    """
    found: dict[Path, Path] = {}
    for path in named:
        if not path.exists():
            raise DatasetError(f"{path} does not exist: give a file NNNN_ACTIONS.jsonl, or a folder of them")
        inside = sorted(path.glob(_ACTIONS)) if path.is_dir() else [path]
        if not inside:
            raise DatasetError(
                f"there are no recordings in {path}: give a folder with NNNN_ACTIONS.jsonl files"
            )
        for file in inside:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _recorded(
    files: Sequence[Path], task: str | None, resize: Callable[[Picture], Picture], problems: Problems
) -> Iterator[Recording]:
    names: dict[str, Path] = {}
    for file in files:
        try:
            game = recorded_game(file, task, resize)
            if game.name in names:
                raise RecordingError(
                    f"{file} and {names[game.name]} have the same name, {game.name}: rename one's folder"
                )
        except RecordingError as error:
            problems.leave_out(error)
            continue
        names[game.name] = file
        yield game
