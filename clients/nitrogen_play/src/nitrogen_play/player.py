"""The game's loop: pictures to the server, its chunks to the gamepad."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from nitrogen_play.asking import Answer, Asker
from nitrogen_play.clocks import Pacer
from nitrogen_play.conditioning import Conditioning, Previous
from nitrogen_play.errors import ServerError
from nitrogen_play.interfaces import Game, Human
from nitrogen_play.meter import Meter
from nitrogen_play.pad import NEUTRAL, PadState
from nitrogen_play.played_rows import PlayedRows
from nitrogen_play.recording.actions_file import RecordedStep
from nitrogen_play.recording.recorder import Recorder
from nitrogen_play.schedule import ChunkSchedule, DueStep

# How long to hold the last step while waiting for a chunk, in a game that goes on meanwhile.
_HOLD_S = 0.5
_BETWEEN_TRIES_S = 0.5
_TOO_SLOW = (
    "a chunk came too late for all of its steps, so its last one is held: if this keeps happening, the "
    "server is too slow for this game"
)
_CAN_WAIT = "; --sync lets the game wait for the model"
_CANNOT_WAIT = ", which cannot wait for it: take a faster server, or a model with fewer sampler steps"
# How long to wait for an answer before looking at anything else.
_LOOK_S = 0.1


@dataclass(frozen=True)
class PlayOptions:
    """How a game is played.

    Attributes:
        steps: after how many steps it ends, with those that were held because no chunk was there; None for
            no end.
        steps_per_chunk: after how many steps of a chunk the player wants the next one, None for all.
        ticks_per_step: for how many ticks of the game a step is held.
        is_async: whether the next chunk is asked for while the present one is played.
        patience_s: seconds without a server until the player gives up.
        is_conditioned: whether each chunk continues the one before it, if `is_async`.
    """

    steps: int | None
    steps_per_chunk: int | None
    ticks_per_step: int
    is_async: bool
    patience_s: float
    is_conditioned: bool = False


class Player:
    """Plays one game until its steps are played, `stop` is set, or an error comes; then lets all buttons go.

    Args:
        recorder: None records nothing.
        say: called with a sentence that the player should see.
        stop: looked at between two steps, so that the recording ends with a whole one.
        human: None if nobody may take over.
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
        human: Human | None = None,
    ) -> None:
        self._game = game
        self._asker = asker
        self._options = options
        self._meter = meter
        self._recorder = recorder
        self._say = say
        self._stop = stop
        self._human = human
        self._away_since: float | None = None
        self._conditioning = Conditioning(options.ticks_per_step)
        # The picture that the present chunk answers: its tick, and when it was taken.
        self._seen = (0, 0.0)
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
        """Ask, play the chunk, ask again; a human who takes over ends the chunk."""
        chunk = -1
        while not self._is_done():
            if self._human_state() is not None:
                self._let_human_play()
                continue
            chunk += 1
            for index, state in enumerate(self._next_chunk(chunk)[: self._options.steps_per_chunk]):
                if self._is_done() or self._human_state() is not None:
                    break
                if self._hold(DueStep(state, chunk, index, is_fresh=True)):
                    break

    def _let_human_play(self) -> None:
        """Hold what the human holds, at the game's own speed, until the model plays again or the end."""
        clock = self._game.clock
        pacer = Pacer(clock.ticks_per_s)
        while not self._is_done() and (state := self._human_state()) is not None:
            if clock.stands_still:
                pacer.wait()
            self._hold(_by_human(state))
            if self._played.is_full:
                self._tell_played()
        self._asker.forget()

    def _human_state(self) -> PadState | None:
        """Return what the human holds, None while the model plays; say so when that changes."""
        state = None if self._human is None else self._human.holds()
        if self._human is not None and (state is not None) != self._meter.is_human:
            self._meter.is_human = state is not None
            self._say("the model plays again" if state is None else f"you play: {self._human.gives_back}")
        return state

    def _next_chunk(self, chunk: int) -> tuple[PadState, ...]:
        """Ask until there is an answer; meanwhile the last step is held for half a second, then nothing.

        Returns no steps when the game is to stop, or a human takes over.
        """
        clock = self._game.clock
        holds_until = time.monotonic() + _HOLD_S
        is_holding = not clock.stands_still
        while True:
            self._ask(clock.now())
            answer = None
            while answer is None:
                if self._stop.is_set() or self._human_state() is not None:
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
                self._conditioning.count_delay(now - answer.tick)
                self._meter.late_steps = schedule.late_steps
                if not is_in_time and not is_warned:
                    is_warned = True
                    self._say(_TOO_SLOW + (_CAN_WAIT if self._game.can_wait else _CANNOT_WAIT))
            elif answer is not None:
                self._wait_for_server(answer)
                not_before = time.monotonic() + _BETWEEN_TRIES_S
            if not self._asker.is_busy and time.monotonic() >= not_before and schedule.wants_chunk(now):
                self._ask(now, self._previous(schedule, now))
            human = self._human_state()
            # Go on asking, so that the server's recordings have the pictures for what a human does.
            if self._hold(schedule.due(now) if human is None else _by_human(human)):
                schedule.clear()

    def _previous(self, schedule: ChunkSchedule, now: int) -> Previous | None:
        """Return the rows that a chunk continues if it is asked for now; None without conditioning."""
        if not (self._options.is_conditioned and self._asker.takes_previous):
            return None
        return self._conditioning.previous(schedule.remaining(now), schedule.picture_tick)

    def _ask(self, now: int, previous: Previous | None = None) -> None:
        """Ask for the chunk that answers the present picture, and tell what was played before it."""
        seen_s = time.monotonic()
        self._asker.ask(self._game.screen.capture(), now, seen_s, previous)
        self._tell_played()

    def _is_done(self) -> bool:
        is_played = self._options.steps is not None and self._meter.played_steps >= self._options.steps
        return is_played or self._stop.is_set()

    def _hold(self, due: DueStep) -> bool:
        """Hold a step for its ticks; return whether the game began again."""
        game, meter, recorder = self._game, self._meter, self._recorder
        ticks = 1 if due.by == "human" else self._options.ticks_per_step
        first_tick = game.clock.now()
        game.gamepad.apply(due.state)
        self._count_step(due, first_tick)
        began_again = False
        held = 0
        while held < ticks and not began_again:
            if recorder is not None:
                meter.dropped_frames += not recorder.film(game, due.state)
            began_again = game.clock.tick()
            held += 1
        if recorder is not None:
            recorder.add_step(
                RecordedStep(
                    due.state, due.chunk, due.index, first_tick, held, due.by, began_again=began_again
                )
            )
        self._played.hold(due.state, first_tick, first_tick + held, due.by)
        self._conditioning.hold(due.state, first_tick, due.by)
        if began_again:
            self._asker.forget()
        return began_again

    def _count_step(self, due: DueStep, tick: int) -> None:
        meter = self._meter
        if due.by == "human":
            meter.human_steps += 1
        elif due.is_fresh or due.state is not NEUTRAL:
            picture_tick, seen_s = self._seen
            meter.ages.add(time.monotonic() - seen_s, tick - picture_tick)
            if due.is_fresh:
                meter.count_action()
            else:
                meter.held_steps += 1

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
            self._say("the server is back")
            self._away_since = None
        if answer.note is not None:
            self._say(answer.note)
        self._seen = (answer.tick, answer.seen_s)
        self._meter.count_answer(answer.server_s, answer.network_s)
        self._meter.conditioned_chunks += answer.is_conditioned

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


def _by_human(state: PadState) -> DueStep:
    return DueStep(state, -1, 0, is_fresh=False, by="human")
