"""A recording as frames of a data set: the film's pictures, and what was held in their ticks."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from nitrogen_dataset.conversion import Problems
from nitrogen_dataset.errors import RecordingError
from nitrogen_dataset.frames import Frame, Pairing
from numpy.typing import NDArray

import nitrogen_play.errors
from nitrogen_play.interfaces import Picture
from nitrogen_play.pad import BUTTONS, STICK_MAX, PadState
from nitrogen_play.recording.actions_file import RecordedStep, read_steps
from nitrogen_play.recording.films import COMMENT

# A place is a tick, as a text that sorts like its number.
_PLACE_DIGITS = 12
_ACTIONS = "_ACTIONS"
# A film that does not say its rate has at least this share of its pictures a tick apart.
_MIN_SHARE = 0.05


@dataclass(frozen=True)
class RecordedGame:
    """One recording: NNNN_ACTIONS.jsonl with NNNN_CLEAN.mp4 beside it.

    Attributes:
        actions: the path of the former.
        name: its folder's and its own name, which the data set knows it by.
        film: the path of the latter.
        title: the game's, as the film tells it.
        exact_ticks_per_s: ticks in a second of the game.
        first_tick: that of the film's first picture; None for the first step's, where the film does not tell.
        resize: makes the data set's picture of the film's.
    """

    actions: Path
    name: str
    film: Path
    title: str
    exact_ticks_per_s: float
    first_tick: int | None
    resize: Callable[[Picture], Picture]

    @property
    def ticks_per_s(self) -> int:
        """Ticks in a second of the game, as a whole number."""
        return max(1, round(self.exact_ticks_per_s))

    def frames(self, after: str, problems: Problems) -> Iterator[Frame]:
        """Yield its frames in their order, from the first picture on whose place is behind `after`.

        Raises:
            RecordingError: it cannot be read any further.
        """
        try:
            steps = read_steps(self.actions)
        except nitrogen_play.errors.RecordingError as error:
            raise RecordingError(str(error)) from error
        first = int(after) + 1 if after else 0
        if first >= steps[-1].tick + steps[-1].ticks:
            return
        pictures = self._pictures(steps[0].tick if self.first_tick is None else self.first_tick, first)
        waiting = next(pictures, None)
        pairing = Pairing(self.ticks_per_s)
        # An earlier run has taken the ticks from its last picture up to the next one.
        is_begun = not after
        try:
            for tick, step in _ticks(steps, self.ticks_per_s):
                if tick < first:
                    continue
                while waiting is not None and waiting[0] <= tick:
                    pairing.show(waiting[0], self.resize(waiting[1]), self.title, _place(waiting[0]))
                    waiting = next(pictures, None)
                    is_begun = True
                if not is_begun:
                    continue
                yield from pairing.hold(tick, _action(step.state), step.by)
                if step.began_again and tick == step.tick + step.ticks - 1:
                    problems.ticks_without_picture += pairing.left_out
                    pairing = Pairing(self.ticks_per_s)
        finally:
            problems.ticks_without_picture += pairing.left_out

    def _pictures(self, film_begins: int, first: int) -> Iterator[tuple[int, Picture]]:
        """Yield the film's pictures from the tick `first` on, with their ticks.

        Raises:
            RecordingError: it cannot be read any further.
        """
        try:
            with av.open(str(self.film)) as container:
                began: float | None = None
                for picture in container.decode(video=0):
                    began = picture.time if began is None else began
                    tick = film_begins + round((picture.time - began) * self.exact_ticks_per_s)
                    if tick >= first:
                        yield tick, np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
        except (av.FFmpegError, OSError) as error:
            raise RecordingError(f"the film {self.film} cannot be read to its end: {error}") from error


def recorded_game(path: Path, task: str | None, resize: Callable[[Picture], Picture]) -> RecordedGame:
    """Return the recording whose file of actions is at `path`.

    Args:
        path: the file of actions.
        task: the game's name, None for the film's own title.
        resize: how a picture becomes a frame.

    Raises:
        RecordingError: it has no film, or one that cannot be read.
    """
    number, found, _ = path.name.partition(_ACTIONS)
    film = path.with_name(f"{number}_CLEAN.mp4")
    if not found:
        raise RecordingError(f"{path} is not a recording's file of actions, NNNN_ACTIONS.jsonl")
    try:
        with av.open(str(film)) as container:
            title = container.metadata.get("title", "")
            ticks_per_s, first_tick = _rate(container)
    except FileNotFoundError as error:
        raise RecordingError(f"{path} has no film {film.name} beside it, and so no pictures") from error
    except (av.FFmpegError, OSError, LookupError, ValueError) as error:
        raise RecordingError(f"the film {film} cannot be read: {error}") from error
    name = f"{path.resolve().parent.name}/{number}"
    return RecordedGame(path, name, film, task or title or "unknown", ticks_per_s, first_tick, resize)


def _ticks(steps: list[RecordedStep], most: int) -> Iterator[tuple[int, RecordedStep]]:
    """Yield each tick with the step that was held; it is held on in up to `most` uncounted ticks."""
    ends = [later.tick for later in steps[1:]] + [0]
    for step, next_tick in zip(steps, ends, strict=True):
        counted = step.tick + step.ticks
        for tick in range(step.tick, max(counted, min(next_tick, counted + most))):
            yield tick, step


def _action(state: PadState) -> NDArray[np.float32]:
    """Return a state as a data set's action, (25,)."""
    buttons = [float(name in state.pressed) for name in BUTTONS]
    sticks = [max(-1.0, value / STICK_MAX) for value in (*state.left, *state.right)]
    return np.array([*buttons, *sticks], np.float32)


def _place(tick: int) -> str:
    return f"{tick:0{_PLACE_DIGITS}}"


def _rate(container: Any) -> tuple[float, int | None]:  # noqa: ANN401 - PyAV's
    """Return a film's ticks per second, and its first picture's tick, if it tells that.

    The rate of an older film, which tells neither, is by the shortest time between its pictures.
    """
    found = COMMENT.fullmatch(container.metadata.get("comment", ""))
    if found is not None:
        return float(found["ticks_per_s"]), int(found["tick"])
    stream = container.streams.video[0]
    times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
    counted = Counter(later - earlier for earlier, later in pairwise(times) if later > earlier)
    least = _MIN_SHARE * counted.total()
    period = min((gap for gap, count in counted.items() if count >= least), default=None)
    if period is None:
        raise ValueError("it has less than two pictures")
    # Each gap is a whole number of ticks; together they are more exact than one.
    ticks = sum(round(gap / period) * count for gap, count in counted.items())
    total = sum(gap * count for gap, count in counted.items())
    return float(Fraction(ticks) / (total * Fraction(stream.time_base))), None
