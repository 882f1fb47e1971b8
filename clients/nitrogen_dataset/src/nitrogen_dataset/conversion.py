"""Turning recordings into a data set: one after another, each from where an earlier run has stopped."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nitrogen_dataset.errors import DatasetError, RecordingError
from nitrogen_dataset.frames import Frame


class Recording(Protocol):
    """A recording of one player's game."""

    @property
    def name(self) -> str:
        """Its name, the same in every run."""

    @property
    def ticks_per_s(self) -> int:
        """How many ticks its game has in a second."""

    def frames(self, after: str, problems: "Problems") -> Iterator[Frame]:
        """Yield its frames in their order, from the first picture on whose place is behind `after`.

        Raises:
            RecordingError: it cannot be read any further.
        """


class Writer(Protocol):
    """A data set under way. Only whole episodes are in it, at any time."""

    @property
    def taken(self) -> Mapping[str, str]:
        """For each recording that is in the data set: the place of the last picture that was taken."""

    @property
    def wants_end(self) -> bool:
        """Whether the present episode should end with the next picture."""

    def begin(self, recording: str, ticks_per_s: int, first: Frame) -> None:
        """Begin an episode.

        Raises:
            RecordingError: its pictures do not fit those that are there.
        """

    def add(self, frame: Frame) -> None:
        """Add a frame to the present episode."""

    def end(self) -> None:
        """End the present episode, if there is one."""

    def drop(self) -> None:
        """Forget the present episode, if there is one."""

    def close(self) -> None:
        """Write what waits; the data set can then be read."""


class Problems:
    """Counts what was left out of a data set; `report` gets a sentence for each recording.

    Args:
        is_strict: whether the first problem ends the conversion.
    """

    def __init__(self, report: Callable[[str], None], *, is_strict: bool) -> None:
        self.recordings = 0
        self.ticks_without_picture = 0
        self._report = report
        self._is_strict = is_strict

    def leave_out(self, problem: Exception) -> None:
        """Note what cannot be read.

        Raises:
            DatasetError: the conversion is a strict one; whoever leaves recordings out lets it through.
        """
        if self._is_strict:
            raise DatasetError(f"{problem} (--strict)") from problem
        self.recordings += 1
        self._report(f"left out: {problem}")


@dataclass
class Counts:
    """All that has been written so far."""

    episodes: int = 0
    frames: int = 0
    tasks: set[str] = field(default_factory=set)
    by_human: int = 0


def convert(
    recordings: Iterable[Recording],
    writer: Writer,
    problems: Problems,
    stop: threading.Event,
    progress: Callable[[Counts], None],
) -> Counts:
    """Write recordings' frames as episodes until all are written, or `stop` is set.

    An episode that is under way then is not written. The part of a torn recording before the damage is an
    episode.

    Raises:
        DatasetError: the data set cannot be written, or, if `problems` is strict, a recording not be read.
    """
    counts = Counts()
    try:
        for recording in recordings:
            _convert(recording, writer, problems, stop, progress, counts)
            if stop.is_set():
                break
    except BaseException:
        writer.drop()
        writer.close()
        raise
    writer.close()
    return counts


def _convert(
    recording: Recording,
    writer: Writer,
    problems: Problems,
    stop: threading.Event,
    progress: Callable[[Counts], None],
    counts: Counts,
) -> None:
    length = by_human = 0

    def end() -> None:
        nonlocal length, by_human
        writer.end()
        counts.episodes += length > 0
        length = by_human = 0

    try:
        for frame in recording.frames(writer.taken.get(recording.name, ""), problems):
            if stop.is_set():
                writer.drop()
                counts.frames -= length
                counts.by_human -= by_human
                return
            if frame.begins or (writer.wants_end and frame.picture_age == 0):
                end()
                writer.begin(recording.name, recording.ticks_per_s, frame)
            writer.add(frame)
            length += 1
            counts.frames += 1
            by_human += frame.by == "human"
            counts.by_human += frame.by == "human"
            counts.tasks.add(frame.task)
            progress(counts)
    except RecordingError as error:
        end()
        problems.leave_out(error)
    end()
