"""The game's loop: pictures to the server, its chunks to the gamepad."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from nitrogen_play.asking import Answer, Asker
from nitrogen_play.errors import ServerError
from nitrogen_play.interfaces import Game
from nitrogen_play.meter import Meter
from nitrogen_play.pad import NEUTRAL, PadState
from nitrogen_play.played_rows import PlayedRows
from nitrogen_play.recording.actions_file import RecordedStep
from nitrogen_play.recording.recorder import Recorder
from nitrogen_play.schedule import ChunkSchedule

# How long the last step is held while the next chunk is waited for, in a game that goes on meanwhile.
_HOLD_S = 0.5
_BETWEEN_TRIES_S = 0.5
_TOO_SLOW = (
    "a chunk came after all of its steps were over, so that only its last one is held: if that goes on, the "
    "server is too slow for this game"
)
_CAN_WAIT = "; --sync lets the game wait for the model"
_CANNOT_WAIT = ", which cannot wait for it: take a faster server, or a model with fewer sampler steps"
# How long an answer is waited for before anything else is looked at.
_LOOK_S = 0.1


@dataclass(frozen=True)
class PlayOptions:
    """How a game is played.

    Attributes:
        steps: after how many played steps it ends, those that were held for want of a chunk among them; None
            for no end.
        steps_per_chunk: after how many steps of a chunk the next one is wanted, None for all.
        ticks_per_step: for how many ticks of the game a step is held.
        is_async: whether the next chunk is asked for while the present one is played.
        patience_s: seconds without a server until it is given up.
    """

    steps: int | None
    steps_per_chunk: int | None
    ticks_per_step: int
    is_async: bool
    patience_s: float


class Player:
    """Plays one game until its steps are played, `stop` is set, or an error comes; then lets all buttons go.

    `recorder`: None records nothing. `say`: called with a sentence that the player should see. `stop`: looked
    at between two steps, so that the recording ends with a whole one.
    """

    def __init__(
        self,
        game: Game,
        asker: Asker,
        options: PlayOptions,
        meter: Meter,
        recorder: Recorder | None,
        say: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        self._game = game
        self._asker = asker
        self._options = options
        self._meter = meter
        self._recorder = recorder
        self._say = say
        self._stop = stop
        self._away_since: float | None = None
        self._played = PlayedRows()

    def play(self) -> None:
        """Play.

        Raises:
            PlayError: the game's window is gone, or the server refuses or was away for too long.
        """
        try:
            if self._options.is_async:
                self._play_async()
            else:
                self._play_in_turns()
        finally:
            self._game.gamepad.release()
            self._tell_played()

    def _play_in_turns(self) -> None:
        """Ask, play the chunk, ask again."""
        chunk = -1
        while not self._is_done():
            chunk += 1
            for index, state in enumerate(self._next_chunk(chunk)[: self._options.steps_per_chunk]):
                if self._is_done():
                    return
                if self._hold(state, chunk, index, is_fresh=True):
                    break

    def _next_chunk(self, chunk: int) -> tuple[PadState, ...]:
        """Ask until there is an answer; meanwhile the last step is held for half a second, then nothing.

        Returns no steps when the game is to stop.
        """
        clock = self._game.clock
        holds_until = time.monotonic() + _HOLD_S
        is_holding = not clock.stands_still
        while True:
            self._asker.ask(self._game.screen.capture(), clock.now())
            self._tell_played()
            answer = None
            while answer is None:
                if self._stop.is_set():
                    return ()
                answer = self._asker.answer(_LOOK_S)
                if is_holding and time.monotonic() >= holds_until:
                    is_holding = False
                    self._release(chunk)
            if answer.states is not None:
                self._count(answer)
                return answer.states
            if is_holding:
                is_holding = False
                self._release(chunk)
            self._wait_for_server(answer)
            self._stop.wait(_BETWEEN_TRIES_S)

    def _play_async(self) -> None:
        """Ask while the present chunk is played; the answer takes over at the step whose time it is."""
        clock = self._game.clock
        schedule = ChunkSchedule(self._options.ticks_per_step, self._options.steps_per_chunk)
        not_before = 0.0
        is_warned = False
        while not self._is_done():
            now = clock.now()
            answer = self._asker.answer(0)
            if answer is not None and answer.states is not None:
                self._count(answer)
                is_in_time = schedule.take(answer.states, answer.tick, now)
                self._meter.late_steps = schedule.late_steps
                if not is_in_time and not is_warned:
                    is_warned = True
                    self._say(_TOO_SLOW + (_CAN_WAIT if self._game.can_wait else _CANNOT_WAIT))
            elif answer is not None:
                self._wait_for_server(answer)
                not_before = time.monotonic() + _BETWEEN_TRIES_S
            if not self._asker.is_busy and time.monotonic() >= not_before and schedule.wants_chunk(now):
                self._asker.ask(self._game.screen.capture(), now)
                self._tell_played()
            due = schedule.due(now)
            if self._hold(due.state, due.chunk, due.index, is_fresh=due.is_fresh):
                schedule.clear()

    def _is_done(self) -> bool:
        is_played = self._options.steps is not None and self._meter.played_steps >= self._options.steps
        return is_played or self._stop.is_set()

    def _hold(self, state: PadState, chunk: int, index: int, *, is_fresh: bool) -> bool:
        """Hold a step for its ticks; return whether the game began anew."""
        game, meter, recorder = self._game, self._meter, self._recorder
        ticks = self._options.ticks_per_step
        first_tick = game.clock.now()
        game.gamepad.apply(state)
        if is_fresh:
            meter.count_action()
        elif state is not NEUTRAL:
            meter.held_steps += 1
        began_anew = False
        held = 0
        while held < ticks and not began_anew:
            if recorder is not None:
                meter.dropped_frames += not recorder.film(game, state)
            began_anew = game.clock.tick()
            held += 1
        if recorder is not None:
            recorder.add_step(RecordedStep(state, chunk, index, first_tick, held, began_again=began_anew))
        self._played.hold(state, first_tick, first_tick + held)
        if began_anew:
            self._asker.forget()
        return began_anew

    def _tell_played(self) -> None:
        """Tell the server what was played since it was last told."""
        for tick, rows in self._played.take():
            self._asker.tell(tick, rows)

    def _release(self, chunk: int) -> None:
        self._game.gamepad.release()
        now = self._game.clock.now()
        self._played.hold(NEUTRAL, now, now)
        if self._recorder is not None:
            self._recorder.add_step(RecordedStep(NEUTRAL, chunk, 0, now, 0))

    def _count(self, answer: Answer) -> None:
        if self._away_since is not None:
            self._say("the server is there again")
            self._away_since = None
        self._meter.count_answer(answer.server_s, answer.network_s)

    def _wait_for_server(self, answer: Answer) -> None:
        """Say that the server does not answer.

        Raises:
            ServerError: it was away for too long.
        """
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._say(f"no chunk from the server, trying again: {answer.problem}")
        self._meter.problem = answer.problem
        if now - self._away_since > self._options.patience_s:
            raise ServerError(
                f"no chunk for more than {self._options.patience_s:g} s (--patience): {answer.problem}"
            )
