"""Plays a recording's actions once more, without a server."""

import threading
from collections.abc import Sequence

from nitrogen_play.interfaces import Game
from nitrogen_play.meter import Meter
from nitrogen_play.recording.actions_file import RecordedStep


def replay(game: Game, steps: Sequence[RecordedStep], meter: Meter, stop: threading.Event) -> None:
    """Hold each step from its tick on, as long as it was held, until `stop` is set; then let all buttons go.

    An emulator then passes through the very same pictures. A game that runs by itself gets the same steps at
    the same times, counted from now; it need not do the same.

    Raises:
        GameLostError: the game's window is gone.
    """
    clock = game.clock
    first = clock.now()
    try:
        for step in steps:
            if stop.is_set():
                return
            while clock.now() - first < step.tick and not stop.is_set():
                clock.tick()
            game.gamepad.apply(step.state)
            meter.count_action()
            for _ in range(step.ticks):
                clock.tick()
    finally:
        game.gamepad.release()
