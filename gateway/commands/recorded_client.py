"""One client's recordings as frames of a data set."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nitrogen_dataset.conversion import Problems
from nitrogen_dataset.errors import RecordingError
from nitrogen_dataset.frames import Frame, Pairing

from contract.gamepad import ACTION_WIDTH
from gateway.safe_text import one_line, shortened
from gateway.telemetry import recording_format
from gateway.telemetry.recording_format import RecordedPlayed, RecordedPredict, read_recording

# How many predicts are looked at for a word of what was pressed; as many pictures wait for their rows.
_MAX_WAITING = 64
# A client that does not count ticks begins again after a pause of this length.
_PAUSE_S = 10.0
_ROWS_AT_ONCE = 64  # that a request takes
_MAX_TASK_CHARACTERS = 100


@dataclass(frozen=True)
class RecordedClient:
    """The recordings of one client.

    Attributes:
        name: as in the files' names.
        paths: its recordings, the oldest first.
        ticks_per_s: its game's ticks per second, which no recording has.
        task: the game's name, None for the one in the predicts.
        rows: how many rows of each chunk count as pressed if the client does not say; None for all.
    """

    name: str
    paths: Sequence[Path]
    ticks_per_s: int
    task: str | None
    rows: int | None

    def frames(self, after: str, problems: Problems) -> Iterator[Frame]:
        """Yield its frames in order, from the first picture after the place `after`."""
        stretch = _Stretch(self, tells=False)
        for path in self.paths:
            if path.name <= after:
                continue
            try:
                found = read_recording(path)
                if stretch.is_over(found):
                    yield from stretch.end(problems)
                    stretch = _Stretch(self, tells=stretch.tells)
                yield from stretch.add(found, path.name)
            except (recording_format.RecordingError, LookupError, OSError, TypeError, ValueError) as error:
                # The file may be gone: the gateway deletes old ones to stay below its limit.
                problem = str(error) if path.name in str(error) else f"{path.name} cannot be read ({error})"
                problems.leave_out(RecordingError(problem))
                yield from stretch.end(problems)
                stretch = _Stretch(self, tells=stretch.tells)
        yield from stretch.end(problems)


class _Stretch:
    """A part in which ticks go up.

    Args:
        tells: whether the client is known to tell what was really pressed.
    """

    def __init__(self, client: RecordedClient, *, tells: bool) -> None:
        self.tells = tells
        self._client = client
        self._pairing = Pairing(client.ticks_per_s)
        self._undecided: deque[tuple[RecordedPredict, str]] = deque()
        self._without_tick: list[tuple[RecordedPredict, str]] = []
        self._last: RecordedPredict | RecordedPlayed | None = None
        # The tick after the last known row, and the last picture's tick.
        self._next_tick = self._picture_tick = 0

    def is_over(self, found: RecordedPredict | RecordedPlayed) -> bool:
        """Return whether a recording belongs to another stretch than those before it."""
        last = self._last
        if last is None:
            return False
        tick = found.fields.get("tick")
        if isinstance(found, RecordedPlayed):
            return self._is_reset(found) or int(found.fields["tick"]) < self._next_tick
        if tick is not None:
            # Where ticks go on after a reset, rows of before it may still come.
            return int(tick) < self._picture_tick
        pause_s = (found.began - last.began).total_seconds()
        return self._is_reset(found) or (not self.tells and pause_s > _PAUSE_S)

    def add(self, found: RecordedPredict | RecordedPlayed, place: str) -> Iterator[Frame]:
        """Add the next recording; yield the frames that it completes."""
        begins = self._is_reset(found)
        self._last = found
        if isinstance(found, RecordedPlayed):
            self._decide()
            yield from self._hold_told(found)
            return
        if found.fields.get("tick") is not None:
            self._decide()
        if self.tells:
            self._show(found, place, begins=begins)
            return
        self._undecided.append((found, place))
        if len(self._undecided) > _MAX_WAITING:
            yield from self._hold_answered(*self._undecided.popleft())

    def end(self, problems: Problems) -> Iterator[Frame]:
        """Yield the frames that are left."""
        while self._undecided:
            yield from self._hold_answered(*self._undecided.popleft())
        problems.ticks_without_picture += self._pairing.left_out

    def _is_reset(self, found: RecordedPredict | RecordedPlayed) -> bool:
        last = self._last
        return last is not None and found.fields.get("episode", 0) != last.fields.get("episode", 0)

    def _decide(self) -> None:
        """Note that the client says what was pressed: its pictures wait for that."""
        self.tells = True
        while self._undecided:
            self._show(*self._undecided.popleft())

    def _show(self, predict: RecordedPredict, place: str, *, begins: bool = False) -> None:
        tick = predict.fields.get("tick")
        if tick is not None:
            self._show_at(int(tick), predict, place, begins=begins)
        elif predict.fields.get("port") == "zmq":
            # nitrogen-play sends, after each picture but the first, what was pressed before it.
            self._without_tick.append((predict, place))
            del self._without_tick[1:-1]
        else:
            self._show_at(self._next_tick, predict, place)

    def _show_at(self, tick: int, predict: RecordedPredict, place: str, *, begins: bool = False) -> None:
        if predict.frame is None:
            return
        self._picture_tick = tick
        self._pairing.show(tick, predict.frame, self._task(predict), place, begins=begins)
        if self._pairing.waiting > _MAX_WAITING:
            self._pairing.drop_oldest()

    def _hold_told(self, played: RecordedPlayed) -> Iterator[Frame]:
        tick, rows = int(played.fields["tick"]), played.fields["rows"]
        if len(self._without_tick) > 1:
            self._show_at(max(tick, self._picture_tick), *self._without_tick.pop(0))
        self._next_tick = tick + len(rows)
        if self._without_tick and len(rows) < _ROWS_AT_ONCE:
            self._show_at(self._next_tick, *self._without_tick.pop())
        for row in rows:
            action = np.array([*row["buttons"], *row["j_left"], *row["j_right"]], np.float32)
            yield from self._pairing.hold(tick, action.reshape(ACTION_WIDTH), str(row["by"]))
            tick += 1

    def _hold_answered(self, predict: RecordedPredict, place: str) -> Iterator[Frame]:
        """Take a chunk's rows as pressed, one per tick, from its picture's tick on."""
        if predict.frame is None or predict.chunk is None:
            self._next_tick += 1  # nobody knows what was pressed then
            return
        self._show_at(self._next_tick, predict, place)
        chunk = predict.chunk
        rows = np.concatenate([chunk.buttons, chunk.j_left, chunk.j_right], axis=1)
        for row in rows[: self._client.rows]:
            yield from self._pairing.hold(self._next_tick, row, "model")
            self._next_tick += 1

    def _task(self, predict: RecordedPredict) -> str:
        game = predict.fields.get("game")
        if self._client.task is not None or game is None:
            return self._client.task or "unknown"
        return shortened(one_line(game), _MAX_TASK_CHARACTERS) if isinstance(game, str) else f"game {game}"
