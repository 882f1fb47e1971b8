"""Consecutive pictures of real games, in which somebody moves."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from nitrogen_play.errors import PlayError
from nitrogen_play.games.retro import open_retro
from nitrogen_play.games.vizdoom import open_vizdoom
from nitrogen_play.interfaces import Game, Picture
from nitrogen_play.pad import PadState

from benchmarks.gateway.ways import LoadError

_AIRSTRIKER, _FREEDOOM = "Airstriker-Genesis-v0", "freedoom1"
_HELD_TICKS = 12
_PRESSED = ("DPAD_LEFT", "DPAD_RIGHT", "DPAD_UP", "DPAD_DOWN", "SOUTH", "RIGHT_TRIGGER")
_SEED = 15


@dataclass(frozen=True)
class PlayedGame:
    """A game that comes with its package.

    Attributes:
        flags: those of nitrogen-play.
        start: opens it, standing still between its ticks.
    """

    title: str
    flags: tuple[str, ...]
    start: Callable[[], Game]


GAMES = (
    PlayedGame("Airstriker", ("--retro", _AIRSTRIKER), lambda: open_retro(_AIRSTRIKER, None, None)),
    PlayedGame("Freedoom", ("--vizdoom", _FREEDOOM), lambda: open_vizdoom(_FREEDOOM, None)),
)


def pictures(played: PlayedGame, count: int) -> list[Picture]:
    """Return the pictures of a game's first ticks, in which random buttons are held for some ticks each.

    Raises:
        LoadError: the game cannot be played here.
    """
    random = np.random.default_rng(_SEED)
    try:
        game = played.start()
    except PlayError as error:
        raise LoadError(str(error)) from error
    seen = []
    try:
        for tick in range(count):
            if tick % _HELD_TICKS == 0:
                pressed = frozenset(name for name in _PRESSED if random.random() < 0.3)
                game.gamepad.apply(PadState(pressed, (0, 0), (0, 0)))
            seen.append(game.screen.capture().copy())
            game.clock.tick()
    finally:
        game.close()
    return seen
