"""Records a game in a thread of its own: the game never waits for the disk or the encoder."""

import os
import queue
import re
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TextIO

from nitrogen_play.errors import RecordingError
from nitrogen_play.interfaces import Game, Picture
from nitrogen_play.pad import PadState
from nitrogen_play.recording.actions_file import RecordedStep, step_line
from nitrogen_play.recording.films import Film, debug_picture

_MAX_WAITING_PICTURES = 64
_NICENESS = 10
_NUMBER = re.compile(r"([0-9]+)_(?:DEBUG\.mp4|CLEAN\.mp4|ACTIONS\.jsonl?)")


@dataclass(frozen=True)
class RecordingPaths:
    """The three files of a recording."""

    actions: Path
    debug: Path
    clean: Path


@dataclass(frozen=True)
class _Picture:
    picture: Picture
    state: PadState
    tick: int


def new_recording(folder: Path, checkpoint: str) -> RecordingPaths:
    """Return the next recording's files in `folder`/CHECKPOINT, and make the one of the actions.

    Args:
        folder: where recordings are.
        checkpoint: the path that the server gives; its last part, without its suffix, names the folder.

    Raises:
        RecordingError: they cannot be made.
    """
    name = PurePosixPath(PureWindowsPath(checkpoint).as_posix()).stem
    # The name comes from a server: it may not lead elsewhere.
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:100] or "unknown"
    place = folder / safe
    try:
        place.mkdir(parents=True, exist_ok=True)
        numbers = [int(found[1]) for path in place.iterdir() if (found := _NUMBER.fullmatch(path.name))]
        number = max(numbers, default=0)
        while True:
            number += 1
            actions = place / f"{number:04d}_ACTIONS.jsonl"
            try:
                actions.open("x").close()
            except FileExistsError:
                continue  # Another player has begun meanwhile.
            return RecordingPaths(
                actions, place / f"{number:04d}_DEBUG.mp4", place / f"{number:04d}_CLEAN.mp4"
            )
    except OSError as error:
        raise RecordingError(
            f"a recording cannot be made in {place}: {error}; give another --out, or --no-record"
        ) from error


class Recorder:
    """Writes steps and pictures as they come, in a thread.

    All steps are written. At most 64 pictures wait; `add_picture` says when there is no room. When a film
    cannot be written both end, and the actions go on.

    Args:
        report: called from the thread with the sentence of an error that ends the films, and with one that
            ends the recording.
        with_films: False writes the actions alone.
        title: the game's, for the films.
    """

    def __init__(
        self,
        paths: RecordingPaths,
        ticks_per_s: float,
        report: Callable[[str], None],
        *,
        with_films: bool,
        title: str = "",
    ) -> None:
        self._paths = paths
        self._report = report
        self._films = (
            (Film(paths.debug, ticks_per_s, title), Film(paths.clean, ticks_per_s, title))
            if with_films
            else None
        )
        self._work_queue: queue.SimpleQueue[RecordedStep | _Picture | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(_MAX_WAITING_PICTURES)
        self._films_are_over = threading.Event()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="recording")
        self._thread.start()

    @property
    def wants_pictures(self) -> bool:
        """Whether films are made."""
        return self._films is not None and not self._films_are_over.is_set()

    def add_step(self, step: RecordedStep) -> None:
        """Write a step."""
        if not self._is_over.is_set():
            self._work_queue.put(step)

    def film(self, game: Game, state: PadState) -> bool:
        """Film the present picture while films are made; return False if there was no time or room for it.

        Raises:
            GameLostError: the game's window is gone.
        """
        clock = game.clock
        if not self.wants_pictures:
            return True
        if clock.is_late():
            return False
        return self.add_picture(game.screen.capture(), state, clock.now(), wait=clock.stands_still)

    def add_picture(self, picture: Picture, state: PadState, tick: int, *, wait: bool) -> bool:
        """Film a picture; return False if there was no room for it.

        Args:
            picture: RGB pixels.
            state: the pad's.
            tick: the picture's.
            wait: whether to wait for room, for games that wait too.
        """
        if not self.wants_pictures:
            return True
        if not self._room.acquire(blocking=wait):
            return False
        self._work_queue.put(_Picture(picture, state, tick))
        return True

    def close(self) -> None:
        """Write all that waits, and close the files."""
        self._work_queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        _yield_to_the_game()
        try:
            with self._paths.actions.open("a", 1, encoding="utf-8") as actions:
                while (item := self._work_queue.get()) is not None:
                    self._write(item, actions)
        except Exception as error:  # the thread's edge: the player must not wait for it
            self._is_over.set()
            self._report(f"the recording ends here: {_described(error)}")
        self._end_films()

    def _write(self, item: RecordedStep | _Picture, actions: TextIO) -> None:
        if isinstance(item, RecordedStep):
            actions.write(step_line(item))
            return
        self._room.release()
        if self._films is None or self._films_are_over.is_set():
            return
        debug, clean = self._films
        try:
            clean.add(item.picture, item.tick)
            debug.add(debug_picture(item.picture, item.state, f"tick {item.tick}"), item.tick)
        except Exception as error:  # whatever an encoder meets: the actions do not depend on it
            self._end_films(error)

    def _end_films(self, cause: Exception | None = None) -> None:
        """Close both films, and report one error: what ended them, or what came of closing them."""
        self._films_are_over.set()
        # One who waits for room goes on.
        self._room.release(_MAX_WAITING_PICTURES)
        try:
            with ExitStack() as stack:
                for film in self._films or ():
                    stack.callback(film.close)
        except Exception as error:  # as above
            cause = cause or error
        if cause is not None:
            self._report(f"the films end here: {_described(cause)}")


def _described(error: Exception) -> str:
    if isinstance(error, (RecordingError, OSError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _yield_to_the_game() -> None:
    """Let the game and its player go first where there are too few cores; Linux can do that for a thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
