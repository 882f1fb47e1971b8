"""Plays a recording's actions again, without a server."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from nitrogen_play.interfaces import Game
from nitrogen_play.meter import Meter
from nitrogen_play.pad import NEUTRAL, PadState
from nitrogen_play.recording.actions_file import RecordedStep
from nitrogen_play.recording.recorder import Recorder


def replay(
    game: Game,
    steps: Sequence[RecordedStep],
    meter: Meter,
    recorder: Recorder | None,
    stop: threading.Event,
) -> None:
    """Hold each step from its tick on, as long as it was held, until `stop` is set; then let all buttons go.

    An emulator then passes through the very same pictures. A game that runs by itself gets the same steps at
    the same times, counted from now; it need not do the same.

    Raises:
        GameLostError: the game's window is gone.
    """
    clock = game.clock
    first = clock.now()

    def tick(state: PadState) -> None:
        if recorder is not None:
            meter.dropped_frames += not recorder.film(game, state)
        clock.tick()

    state = NEUTRAL
    try:
        for step in steps:
            if stop.is_set():
                return
            while clock.now() - first < step.tick and not stop.is_set():
                tick(state)
            state = step.state
            game.gamepad.apply(state)
            meter.count_action()
            if recorder is not None:
                recorder.add_step(replace(step, tick=clock.now()))
            for _ in range(step.ticks):
                tick(state)
    finally:
        game.gamepad.release()
